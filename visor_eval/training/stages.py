"""The stages that make the embedded family, each leaving its results in its own folder; language stages resume.

work/foundation     tokenizer, processor, model with a trained and aligned encoder
work/STAGE          state and curves of a language stage (recipes.py)
work/STAGE/ROUTER   a router of a VISOR stage: weights, pseudo-labels, curve
"""

import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from visor_eval.errors import SetupError
from visor_eval.models.configs import text_config
from visor_eval.models.loading import load_backbone
from visor_eval.records.pseudo_labels import PseudoLabels
from visor_eval.training.attention import AttentionRecipe, teach_attention
from visor_eval.training.encoder import EncoderRecipe, align_projector, pretrain_encoder, related_embeddings
from visor_eval.training.family import FamilyShape, build_model, build_processor, save_folder
from visor_eval.training.initialise import add_visor, prepare_attention
from visor_eval.training.labels import LabelSet
from visor_eval.training.lines import LinesRecipe, teach_lines
from visor_eval.training.loop import Member, train
from visor_eval.training.neighbours import NeighbourRecipe, teach_neighbours
from visor_eval.training.processes import Processes
from visor_eval.training.recipes import FOUNDATION, LanguageRecipe, RouterRecipe
from visor_eval.training.router import train_router
from visor_eval.training.state import STATE, Progress, holds_blocks, load_state, save_state, state_name
from visor_eval.training.stream import QuestionTokens, Stream
from visor_eval.training.tokenizer import build_tokenizer
from visor_eval.training.transplant import give_back, transplant
from visor_eval.visor.checkpoint import load_visor, read_visor_config
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_tasks.mini import PHRASES, TASKS, WORDS

log = logging.getLogger(__name__)
CPU = torch.device("cpu")
DEV_SEED = 0
ROUTER_FILE = "router.safetensors"
TRANSPLANT_STEP, TRANSPLANT_BATCHES = 40_000_000, 6  # batches that no training step draws


def foundation(
    work: Path,
    recipe: EncoderRecipe,
    attention: AttentionRecipe | None = None,
    neighbours: NeighbourRecipe | None = None,
    shape: FamilyShape | None = None,
    tasks: tuple[str, ...] = TASKS,
    seed: int = 0,
    device: torch.device = CPU,
) -> None:
    """Build and align a model, teach its tower where to look and its first layer what stands beside what.

    Raises:
        SetupError: there is one of another seed.
    """
    folder = work / FOUNDATION
    if (folder / "config.json").exists():
        check_foundation(work, seed)
        log.info("foundation: already there")
        return
    started = time.monotonic()
    tokenizer = build_tokenizer(PHRASES, WORDS)
    model = build_model(tokenizer, shape, seed)
    related_embeddings(model, tokenizer, seed=seed)
    prepare_attention(model, seed)
    model.to(device)  # type: ignore[arg-type]
    stream = Stream(QuestionTokens(tokenizer), tasks, "train", seed, recipe.images, questions=1)
    labels = LabelSet.default()
    attention, neighbours = attention or AttentionRecipe(), neighbours or NeighbourRecipe()
    curves = {
        "encoder": pretrain_encoder(model, stream, labels, recipe),
        "align": align_projector(model, stream, labels, recipe),
        "attention": teach_attention(model, stream, labels, attention),
        "neighbours": teach_neighbours(model, stream, labels, neighbours),
    }
    save_folder(model, build_processor(tokenizer), folder)
    recipes = asdict(recipe) | {"attention": asdict(attention), "neighbours": asdict(neighbours)}
    report = {
        "recipe": recipes,
        "curves": curves,
        "steps": sum(curve[-1]["step"] + 1 for curve in curves.values()),
        "seconds": time.monotonic() - started,
        "seed": seed,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1))


def check_foundation(work: Path, seed: int) -> None:
    """Refuse the foundation of another seed; one that was brought here from elsewhere has none."""
    report = work / FOUNDATION / "report.json"
    found = json.loads(report.read_text()).get("seed", seed) if report.exists() else seed
    if found != seed:
        raise SetupError(f"{report.parent} was made under seed {found}, not {seed}: give another --work")


def load_foundation(work: Path) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]:
    """The stage's model in float32 and its processor.

    Raises:
        SetupError: the stage has not run.
    """
    folder = work / FOUNDATION
    if not (folder / "config.json").exists():
        raise SetupError(f"{folder} holds no model yet: run `visor-eval train foundation --work {work}` first")
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.train(), AutoProcessor.from_pretrained(folder)


def start(work: Path, recipe: LanguageRecipe) -> tuple[Member, LlavaOnevisionProcessor, Path | None]:
    """What a language stage begins with: member, processor, and the state that its optimiser goes on from.

    Weights come from the foundation, or from the stage the recipe names. Added blocks that the stage before does not
    have start as the paper's conversion does, from the layers they follow and with closed gates, unless they are given
    back (transplant.py); on a foundation whose decoder is not trained yet, open (initialise.py). Blocks that this stage
    does not have live on in stock layers (transplant.py), and its optimiser begins anew.

    Raises:
        SetupError: a stage before has not run.
    """
    model, processor = load_foundation(work)
    if recipe.start == FOUNDATION and recipe.from_scratch:
        fresh = add_visor(model, config=_visor_config(model, recipe)) if recipe.visor else None
        return Member(model, fresh), processor, None
    modules = VisorModules(_visor_config(model, recipe), text_config(model.config)) if recipe.visor else None
    member = Member(model, modules)
    if recipe.start != FOUNDATION:
        name = STATE if recipe.start_step is None else state_name(recipe.start_step)
        state = existing(work / recipe.start / name, recipe.start, work)
        with_blocks = holds_blocks(state)
        if with_blocks and modules is None:
            return _without_blocks(model, processor, recipe, state), processor, None
        if with_blocks == (modules is not None):
            load_state(state, member.parameters())
            return member, processor, state
        load_state(state, Member(model, None).parameters())
    if modules is not None:
        begin = give_back if recipe.given_back else VisorModules.initialise_from
        begin(modules, model.model.language_model)
    return member, processor, None


def _without_blocks(
    model: LlavaOnevisionForConditionalGeneration,
    processor: LlavaOnevisionProcessor,
    recipe: LanguageRecipe,
    state: Path,
) -> Member:
    """The dense member that goes on from the VISOR member of ``state``; ``model`` becomes part of it."""
    modules = VisorModules(_visor_config(model, recipe), text_config(model.config))
    load_state(state, Member(model, modules).parameters())
    training, _ = streams(processor, recipe)
    steps = range(TRANSPLANT_STEP, TRANSPLANT_STEP + TRANSPLANT_BATCHES)
    transplant(model, modules, [training.batch(step, training.weights(())).packed for step in steps])
    return Member(model, None)


def adopt(work: Path, recipe: LanguageRecipe, folder: Path) -> None:
    """Take a checkpoint folder of the family as what a language stage has come to, so that others go on from it.

    Tower and processor become the foundation's where there is none yet. The optimiser's moments begin anew.

    Args:
        work: the folder of all stages.
        recipe: the stage; with added blocks if the checkpoint has them.
        folder: a member's folder with its card.

    Raises:
        SetupError: the stage has begun already, the folder has no card, or the checkpoint has blocks where the stage
            has none, or the reverse.
    """
    file = work / recipe.name / STATE
    if file.exists():
        raise SetupError(f"{file} is there already: adopt into another --work")
    if not (folder / "card.json").exists():
        raise SetupError(f"{folder} has no card.json: adopt a member that `visor-eval train export` wrote")
    backbone = load_backbone(folder)
    model = cast("LlavaOnevisionForConditionalGeneration", backbone.model)
    if (read_visor_config(folder) is not None) != recipe.visor:
        held = "lacks" if recipe.visor else "has"
        raise SetupError(f"{folder.name} {held} VISOR's added blocks: it cannot be what {recipe.name} has come to")
    modules = load_visor(folder, model) if recipe.visor else None
    first, *told = json.loads((folder / "card.json").read_text())["stages"]
    if not (work / FOUNDATION / "config.json").exists():
        save_folder(model, backbone.processor, work / FOUNDATION)
        report = {"recipe": first["recipe"], "steps": first["steps"], "seconds": first["seconds"]}
        (work / FOUNDATION / "report.json").write_text(json.dumps(report, indent=1))
    steps, images, questions, seconds = (
        sum(int(each[key]) for each in told) for key in ("steps", "images", "questions", "seconds")
    )
    progress = Progress(
        step=steps,
        images=images,
        questions=questions,
        seconds=seconds,
        seed=recipe.seed,
        adopted=folder.name,
    )
    save_state(file, Member(model, modules).parameters(), None, progress)


def existing(state: Path, stage: str, work: Path) -> Path:
    """The file, or SetupError with the command that makes it."""
    if not state.exists():
        raise SetupError(f"{state} is missing: run `visor-eval train {stage} --work {work}` first")
    return state


def load_member(
    work: Path, recipe: LanguageRecipe, router: RouterRecipe | None = None
) -> tuple[Member, LlavaOnevisionProcessor, Progress]:
    """A stage's member as far as it has been trained.

    Args:
        work: the work folder.
        recipe: the stage's.
        router: give it this router too, trained if it has been.

    Raises:
        SetupError: the stage has not run.
    """
    state = existing(work / recipe.name / STATE, recipe.name, work)
    model, processor = load_foundation(work)
    if not recipe.visor:
        member = Member(model, None)
        return member, processor, load_state(state, member.parameters())
    modules = VisorModules(replace(_visor_config(model, recipe), router=router is not None), text_config(model.config))
    member = Member(model, modules)
    progress = load_state(state, member.parameters())
    if router is not None and (weights := work / recipe.name / router.name / ROUTER_FILE).exists():
        assert modules.router is not None
        modules.router.load_state_dict(load_file(weights))
    return member, processor, progress


def _visor_config(model: LlavaOnevisionForConditionalGeneration, recipe: LanguageRecipe) -> VisorConfig:
    return VisorConfig.for_layers(len(model.model.language_model.layers), packing=recipe.packing)


def streams(
    processor: LlavaOnevisionProcessor, recipe: LanguageRecipe, tasks: tuple[str, ...] = TASKS
) -> tuple[Stream, Stream]:
    """Training and dev streams."""
    tokens = QuestionTokens.of(processor)
    training = Stream(tokens, tasks, "train", recipe.seed, recipe.images, recipe.questions)
    return training, Stream(tokens, tasks, "dev", DEV_SEED, recipe.images, recipe.questions)


def language(
    work: Path, recipe: LanguageRecipe, tasks: tuple[str, ...] = TASKS, processes: Processes | None = None
) -> Progress:
    """Train or resume a language stage; the first of several processes writes.

    Raises:
        SetupError: the stage it goes on from has not run, or more processes than images in a batch.
    """
    processes = processes or Processes(CPU)
    if (work / recipe.name / STATE).exists():  # begun: what it went on from is not needed any more
        member, processor, _ = load_member(work, recipe)
        state = None
    else:
        member, processor, state = start(work, recipe)
        if recipe.lines is not None:  # a new beginning for the optimiser, too
            state = _lines(work, recipe, recipe.lines, member, processor, tasks)
    data = streams(processor, recipe, tasks)
    return train(member.to(processes.device), recipe, *data, work / recipe.name, state, processes)


def _lines(
    work: Path,
    recipe: LanguageRecipe,
    lines: LinesRecipe,
    member: Member,
    processor: LlavaOnevisionProcessor,
    tasks: tuple[str, ...],
) -> None:
    """Teach a stage's member to follow lines before its first step; the curve stays in the stage's folder."""
    config = _visor_config(member.model, recipe) if member.visor is None else member.visor.config
    training, _ = streams(processor, recipe, tasks)
    started = time.monotonic()
    compute = torch.bfloat16 if recipe.bfloat16 else torch.float32
    curve = teach_lines(
        member.model, config, training, lines, dense=member.visor is None, compute=compute, compiled=recipe.compiled
    )
    report = {"recipe": asdict(lines), "curve": curve, "seconds": time.monotonic() - started}
    folder = work / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lines.json").write_text(json.dumps(report, indent=1))


def router(
    work: Path,
    stage: LanguageRecipe,
    recipe: RouterRecipe,
    tasks: tuple[str, ...] = TASKS,
    given: PseudoLabels | None = None,
    device: torch.device = CPU,
) -> None:
    """Label a slice of training data, or take labels from a file, and train the router of a VISOR stage's member."""
    member, processor, _ = load_member(work, stage, recipe)
    assert member.visor is not None
    started = time.monotonic()
    labels, curve = train_router(member.to(device), recipe, QuestionTokens.of(processor), tasks, given)
    configurations = member.visor.config.configurations
    folder = work / stage.name / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    assert member.visor.router is not None
    save_file(
        {name: value.contiguous() for name, value in member.visor.router.state_dict().items()},
        folder / ROUTER_FILE,
    )
    report = {
        "recipe": asdict(recipe),
        "labels_from": None if given is None else {"rule": given.rule, "run_id": given.run_id},
        "labels": {task: list(configurations[index]) for task, index in labels.by_task.items()},
        "accuracy": {
            plan: {task: tally.accuracy for task, tally in found.items() if "/" not in task}
            for plan, found in labels.accuracy.items()
        },
        "curve": curve,
        "seconds": time.monotonic() - started,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1))
