"""Which members the family has, what their cards say, and the dev evaluation behind the cards."""

import csv
import json
import logging
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from visor_eval.training import stages
from visor_eval.training.evaluate import Tally, evaluate, evaluation_batches
from visor_eval.training.export import Card, accuracies, asked, export
from visor_eval.training.loop import Member
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.recipes import LanguageRecipe
from visor_eval.training.state import Progress
from visor_tasks.mini.stream import GENERATOR_VERSION

log = logging.getLogger(__name__)
DEV_IMAGES = 40  # per task
DATA = (
    "Endless stream of the mini suite's generator, split `train`: no scene, and no reserved colour-object combination "
    "or printed value, occurs in dev or test."
)


def export_family(work: Path, output: Path, dev_images: int = DEV_IMAGES) -> None:
    """Evaluate both members on dev and write ``dense-tiny`` and ``visor-tiny`` under ``output``.

    Where a stage was not one run of its recipe, ``work/notes.json`` (stage -> text) tells what was done instead.
    """
    file = work / "notes.json"
    notes: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    foundation = json.loads((work / "foundation" / "report.json").read_text())
    encoder = {
        "note": notes.get("foundation", "one run of the recipe"),
        "stage": "encoder and alignment",
        "recipe": foundation["recipe"],
        "seconds": round(foundation["seconds"]),
    }
    encoder |= {
        "steps": sum(curve[-1]["step"] + 1 for curve in foundation["curves"].values()),
        "images": "-",
        "questions": "-",
    }
    universal, processor, progress = stages.load_universal(work, router=True)
    grown = _stage("universal", progress, notes)
    assert universal.visor is not None
    configurations = universal.visor.config.configurations
    plans = universal.plans(configurations)
    found = _on_dev(universal, processor, {name: plan for name, plan in plans.items() if name != "dense"}, dev_images)
    routing = json.loads((work / "router" / "report.json").read_text())
    card = Card(
        name="visor-tiny",
        summary=f"universal VISOR with router, {_millions(universal)} M parameters; mini suite only",
        description="The universal VISOR member of visor-eval's embedded family, with its router.",
        generator_version=GENERATOR_VERSION,
        data=DATA,
        stages=(encoder, grown),
        seeds={"training": 0, "dev": stages.DEV_SEED},
        hardware=hardware(),
        dev_accuracy=accuracies(found),
        dev_questions=asked(found),
        router={
            "description": "Pseudo-labels on a held-out slice of training data (other seeds): the cheapest "
            f"configuration that reaches {routing['recipe']['target']:.0%} of the largest one's accuracy, per task.",
            "labels": routing["labels"],
            "label_accuracy": routing["accuracy"],
            "agreement": routing["curve"][-1]["agreement"],
            "seconds": round(routing["seconds"]),
        },
    )
    export(universal, processor, card, {work / "universal" / "curve.csv": progress.step}, output / "visor-tiny")

    dense, processor, progress = stages.load_dense(work)
    start = Progress(**json.loads((work / "dense" / "start.json").read_text()))
    found = _on_dev(dense, processor, {"dense": StepPlan.dense(dense.depth)}, dev_images)
    card = Card(
        name="dense-tiny",
        summary=f"dense model of the same family, {_millions(dense)} M parameters; mini suite only",
        description="The dense member of visor-eval's embedded family: a stock LLaVA-OneVision folder, trained on from "
        "the universal weights with every layer on all tokens.",
        generator_version=GENERATOR_VERSION,
        data=DATA,
        stages=(encoder, _stage("universal", start, notes), _stage("dense", progress, notes)),
        seeds={"training": 0, "dev": stages.DEV_SEED},
        hardware=hardware(),
        dev_accuracy=accuracies(found),
        dev_questions=asked(found),
    )
    curves = {work / "universal" / "curve.csv": start.step, work / "dense" / "curve.csv": progress.step}
    export(dense, processor, card, curves, output / "dense-tiny")


def _millions(member: Member) -> str:
    modules = (member.model, *([] if member.visor is None else [member.visor]))
    return f"{sum(weight.numel() for module in modules for weight in module.parameters()) / 1e6:.1f}"


def hardware() -> str:
    """The processor and what was used of it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"one thread of {model} ({os.cpu_count()} virtual cores, shared with other work), no GPU; bfloat16 products."


def _stage(name: str, progress: Progress, notes: Mapping[str, str]) -> dict[str, object]:
    return {
        "note": notes.get(name, "one run of the recipe"),
        "stage": name,
        "steps": progress.step,
        "images": progress.images,
        "questions": progress.questions,
        "seconds": round(progress.seconds),
    }


def _on_dev(
    member: Member, processor: object, plans: Mapping[str, StepPlan], images: int
) -> dict[str, dict[str, Tally]]:
    _, dev = stages.streams(processor, LanguageRecipe(name="dev", steps=1))  # type: ignore[arg-type]
    packed = PackedModel(member.model, member.visor, torch.bfloat16)
    found = evaluate(packed, evaluation_batches(dev, images), plans)
    for plan, tallies in found.items():
        scores = {key: 100 * tally.accuracy for key, tally in tallies.items() if "/" not in key}
        log.info(
            "dev %s mean %.1f %s", plan, sum(scores.values()) / len(scores), {k: round(v) for k, v in scores.items()}
        )
    return found


def read_curve(file: Path) -> list[dict[str, str]]:
    """The rows of a curve.csv."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))
