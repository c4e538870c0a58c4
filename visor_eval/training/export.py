"""From a trained member to a checkpoint folder: half-precision safetensors, card.json, README.md, curve.csv."""

import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import LlavaOnevisionProcessor

from visor_eval.training.evaluate import Tally
from visor_eval.training.loop import Member
from visor_eval.visor.checkpoint import save_visor

AIDS = (
    "encoder pretrained on the generator's labels of every 8 x 8 px cell, then frozen",
    "projector aligned with the token embeddings of the words a patch shows, plus a row + column code",
    "tower taught to attend to what its tile shows, the projector's output held",
    "first decoder layer taught, before any question, which words stand nearest left of and above each cell",
    "spellings of one word (with a space, capitalised) start from nearly the same embedding",
    "added blocks start with W_k = W_q; in them and in stock layers values pass through (W_o = a W_v^T)",
    "gates of the added blocks start open (1.0)",
    "cross-attention-only and dense steps are mixed into universal training (a deviation from the paper)",
    "layers that may update vision tokens taught to follow lines, one cell per layer; the circle at a bar's end shows "
    "the bar's label and length",
    "dense members go on from VISOR's base, the attention of its added blocks moved into stock layers; "
    "stage 2's blocks start from these layers, gates half open",
    "several questions share one image's vision tokens in a training step",
    "curriculum: two look-up tasks first, then verdicts and choices, relations, everything; more of what is not learnt",
    "some choice questions in easier forms: answered with a word, or with the answer in place of the question",
)
LIMITS = (
    "Trained on synthetic images of visor-eval's mini suite only; it knows no photographs, no natural handwriting and "
    "no words outside the suite's vocabulary. Scores say something about methods compared on these weights, "
    "nothing about real models, and are never comparable with published numbers."
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a reader needs to know about one member, machine-readable."""

    name: str
    method: str  # that runs on it
    summary: str  # one line, for `visor-eval list`
    description: str
    generator_version: int
    data: str
    stages: tuple[Mapping[str, object], ...]  # recipe, steps, images, questions, seconds each
    seeds: Mapping[str, int]
    hardware: str
    dev_accuracy: Mapping[str, Mapping[str, float]]  # plan -> task -> 0..1
    dev_questions: Mapping[str, int]  # task -> asked
    router: Mapping[str, object] = field(default_factory=dict)
    aids: tuple[str, ...] = AIDS
    limits: str = LIMITS
    versions: Mapping[str, str] = field(
        default_factory=lambda: {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
    )


def accuracies(found: Mapping[str, Mapping[str, Tally]]) -> dict[str, dict[str, float]]:
    """Plan -> task -> accuracy, templates left out."""
    return {
        plan: {key: round(tally.accuracy, 4) for key, tally in tallies.items() if "/" not in key}
        for plan, tallies in found.items()
    }


def asked(found: Mapping[str, Mapping[str, Tally]]) -> dict[str, int]:
    """Task -> questions asked, templates left out."""
    tallies = next(iter(found.values()))
    return {key: tally.asked for key, tally in tallies.items() if "/" not in key}


def export(
    member: Member, processor: LlavaOnevisionProcessor, card: Card, curves: Mapping[Path, int], folder: Path
) -> None:
    """Write the member's folder, replacing one that is there.

    Args:
        member: trained weights; with VISOR modules the folder is a VISOR checkpoint.
        processor: saved beside them.
        card: what card.json and README.md say.
        curves: curve.csv files of the stages, in order, each with the last step that belongs to this member.
        folder: where.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if member.visor is None:
        member.model.save_pretrained(folder)
    else:
        save_visor(folder, member.model, member.visor)
    processor.save_pretrained(folder)
    _halve(folder)
    (folder / "card.json").write_text(json.dumps(asdict(card), indent=1) + "\n")
    (folder / "README.md").write_text(readme(card))
    rows = [line for curve, last in curves.items() if curve.exists() for line in _thinned(curve, last)]
    (folder / "curve.csv").write_text("\n".join(["stage,step,seconds,images,questions,loss", *rows]) + "\n")


def readme(card: Card) -> str:
    """The model card for people."""
    tasks = list(card.dev_questions)
    lines = [
        f"# {card.name}",
        "",
        card.description,
        "",
        f"- Data: {card.data} Generator version {card.generator_version}.",
        f"- Hardware: {card.hardware}",
        f"- Seeds: {', '.join(f'{key} {value}' for key, value in card.seeds.items())}.",
        "",
        "| stage | steps | images | questions | minutes |",
        "|---|---|---|---|---|",
        *(
            f"| {stage['stage']} | {stage['steps']} | {stage['images']} | {stage['questions']} | "
            f"{float(str(stage['seconds'])) / 60:.1f} |"
            for stage in card.stages
        ),
        "",
        *(f"- {stage['stage']}: {stage['note']}." for stage in card.stages),
        "",
        "## Accuracy on the dev split",
        "Exact match in %. "
        f"{min(card.dev_questions.values())} to {max(card.dev_questions.values())} questions per task, "
        "several per image; the test split was not read in training.",
        "",
        f"| configuration | {' | '.join(tasks)} | mean |",
        f"|---|{'---|' * len(tasks)}---|",
    ]
    for plan, scores in card.dev_accuracy.items():
        values = [100 * scores[task] for task in tasks]
        cells = " | ".join(f"{value:.0f}" for value in values)
        lines.append(f"| {plan} | {cells} | {sum(values) / len(values):.1f} |")
    if card.router:
        labels = card.router.get("labels", {})
        assert isinstance(labels, Mapping)
        lines += ["", "## Router", str(card.router.get("description", "")), ""]
        lines += [f"- {task}: {configuration}" for task, configuration in labels.items()]
    lines += ["", "## Aids", *(f"- {aid}" for aid in card.aids), "", "## Limits", card.limits, ""]
    lines += ["`curve.csv` holds the training curve, `card.json` all of this for programs.", ""]
    return "\n".join(lines)


def _halve(folder: Path) -> None:
    """Store all weights in half precision."""
    for file in folder.glob("*.safetensors"):
        save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float16"
    for part in ("text_config", "vision_config"):
        if "dtype" in config.get(part, {}):
            config[part]["dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _thinned(curve: Path, last: int, every: int = 4) -> list[str]:
    """Every ``every``-th row of a stage's curve up to step ``last``, its columns reduced to those all stages share."""
    header, *rows = [line.split(",") for line in curve.read_text().splitlines()]
    wanted = [header.index(name) for name in ("step", "seconds", "images", "questions", "loss")]
    rows = [row for row in rows if int(row[wanted[0]]) <= last]
    kept = [row for number, row in enumerate(rows) if number % every == 0 or number == len(rows) - 1]
    return [",".join([curve.parent.name, *(row[index] for index in wanted)]) for row in kept]
