"""Which members the family has, what their cards say, and the dev evaluation behind the cards."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlavaOnevisionProcessor

from visor_eval.errors import SetupError
from visor_eval.models.reduction import Reduction
from visor_eval.training import stages
from visor_eval.training.evaluate import Tally, evaluate, evaluation_batches
from visor_eval.training.export import Card, accuracies, asked, export
from visor_eval.training.loop import Member
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.recipes import FOUNDATION, LANGUAGE, ROUTERS, LanguageRecipe
from visor_eval.training.state import STATE, Progress, read_progress, state_name
from visor_tasks.mini.stream import GENERATOR_VERSION

log = logging.getLogger(__name__)
DEV_IMAGES = 40  # per task
DATA = (
    "Endless stream of the mini suite's generator, split `train`: no scene, and no reserved colour-object combination "
    "or printed value, occurs in dev or test."
)


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """One checkpoint of the package."""

    name: str
    stage: str  # of recipes.LANGUAGE
    method: str  # that runs on it by name: of `visor-eval list`
    summary: str  # for `visor-eval list`
    router: str | None = None  # of recipes.ROUTERS


FAMILY = (
    Shipped(name="visor-tiny", stage="visor", method="visor", router="router", summary="universal VISOR with router"),
    Shipped(name="dense-tiny", stage="dense", method="dense", summary="the dense model of the family"),
    Shipped(
        name="visor-tr2-tiny",
        stage="visor-tr2",
        method="visor-tr",
        router="router",
        summary="VISOR-TR, 2x packed, with router",
    ),
    Shipped(
        name="visor-tr2-excl-tiny",
        stage="visor-tr2",
        method="visor-tr",
        router="router-excl",
        summary="the same weights, their router trained without three tasks (S7)",
    ),
    Shipped(
        name="visor-tr4-tiny",
        stage="visor-tr4",
        method="visor-tr",
        router="router",
        summary="VISOR-TR, 4x packed, with router",
    ),
    Shipped(
        name="visor-half-tiny",
        stage="visor-half",
        method="visor",
        router="router",
        summary="VISOR after half of its data (S10)",
    ),
    Shipped(
        name="visor-stage2-tiny",
        stage="visor-stage2",
        method="visor",
        summary="VISOR trained with all its layers only (stage 2)",
    ),
    Shipped(name="m3-tiny", stage="m3", method="m3-trained", summary="dense trained on M3's scales 1, 4, 8 and 16"),
    Shipped(
        name="vispruner-tiny", stage="vispruner", method="vispruner-trained", summary="dense trained with VisPruner"
    ),
    Shipped(
        name="vispruner-16x-tiny",
        stage="vispruner-16x",
        method="vispruner-16x-trained",
        summary="dense trained with VisPruner at 16x",
    ),
    Shipped(
        name="visionzip-dagger-tiny",
        stage="visionzip-dagger",
        method="visionzip-dagger",
        summary="dense, its projector tuned with VisionZip",
    ),
)


def export_family(
    work: Path, output: Path, dev_images: int = DEV_IMAGES, names: tuple[str, ...] = (), seed: int = 0
) -> None:
    """Evaluate members on dev and write one folder each under ``output``.

    Where a stage was not one run of its recipe, ``work/notes.json`` (stage -> text) tells what was done instead.

    Args:
        work: the folder of all stages.
        output: where.
        dev_images: per task.
        names: the members to write; none: all whose stage has run.
        seed: what was added to the recipes' seeds; a family of another seed is written as NAME-seedN.

    Raises:
        SetupError: a stage or router of a member has not run, or ran under another seed.
    """
    file = work / "notes.json"
    notes: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    for shipped in FAMILY:
        there = (work / shipped.stage / STATE).exists()
        if shipped.name in names or (not names and there):
            _export(work, output, shipped, notes, dev_images, seed)
        elif not names:
            log.warning("%s left out: stage %s has not run", shipped.name, shipped.stage)


def _export(work: Path, output: Path, shipped: Shipped, notes: Mapping[str, str], dev_images: int, seed: int) -> None:
    name = f"{shipped.name}-seed{seed}" if seed else shipped.name
    told = f"{shipped.summary}, seed {seed}" if seed else shipped.summary
    recipe = LANGUAGE[shipped.stage]
    router = ROUTERS[shipped.router] if shipped.router else None
    if router is not None:
        stage = f"{recipe.name}/{router.name}"
        stages.existing(work / stage / stages.ROUTER_FILE, stage, work)
    member, processor, progress = stages.load_member(work, recipe, router)
    lineage = _lineage(work, recipe, progress)
    stages.check_foundation(work, seed)
    for each, done in lineage:
        if done.seed not in (None, each.seed + seed):
            raise SetupError(f"{work / each.name}: trained under seed {done.seed}, not {each.seed + seed}; see --seed")
    found = _on_dev(member, processor, _plans(member, recipe), dev_images)
    card = Card(
        name=name,
        method=shipped.method,
        summary=f"{told}, {_millions(member)} M parameters; mini suite only",
        description=f"A member of visor-eval's embedded family: {told}.",
        generator_version=GENERATOR_VERSION,
        data=DATA,
        stages=(_foundation(work, notes), *(_stage(each, done, notes) for each, done in lineage)),
        seeds={"family": seed, "training": recipe.seed + seed, "dev": stages.DEV_SEED},
        hardware=progress.hardware or "not recorded",
        dev_accuracy=accuracies(found),
        dev_questions=asked(found),
        router={} if router is None else _router(work / recipe.name / router.name),
    )
    curves = {work / each.name / "curve.csv": done.step for each, done in lineage}
    export(member, processor, card, curves, output / name)


def _plans(member: Member, recipe: LanguageRecipe) -> dict[str, StepPlan]:
    """What the card's table shows: every configuration, or every reducer the member was trained with."""
    if member.visor is not None:
        return member.plans(member.visor.config.configurations)
    return {
        " + ".join(repr(reducer) for reducer in reducers) or "dense": StepPlan.dense(member.depth, Reduction(reducers))
        for reducers in recipe.reducers
    }


def _lineage(work: Path, recipe: LanguageRecipe, progress: Progress) -> list[tuple[LanguageRecipe, Progress]]:
    """The stages behind a member and how far each had come when the next went on from it, first one first."""
    found = [(recipe, progress)]
    while recipe.start != FOUNDATION and not progress.adopted:
        name = STATE if recipe.start_step is None else state_name(recipe.start_step)
        progress = read_progress(work / recipe.start / name)
        recipe = LANGUAGE[recipe.start]
        found.append((recipe, progress))
    return found[::-1]


def _foundation(work: Path, notes: Mapping[str, str]) -> dict[str, object]:
    report = json.loads((work / FOUNDATION / "report.json").read_text())
    return {
        "note": notes.get(FOUNDATION, "one run of the recipe"),
        "stage": FOUNDATION,
        "recipe": report["recipe"],
        "seconds": round(report["seconds"]),
        "steps": report["steps"],
        "images": "-",
        "questions": "-",
    }


def _stage(recipe: LanguageRecipe, progress: Progress, notes: Mapping[str, str]) -> dict[str, object]:
    return {
        "note": notes.get(
            recipe.name, f"taken from {progress.adopted}" if progress.adopted else "one run of the recipe"
        ),
        "stage": recipe.name,
        "steps": progress.step,
        "images": progress.images,
        "questions": progress.questions,
        "seconds": round(progress.seconds),
    }


def _router(folder: Path) -> dict[str, object]:
    report = json.loads((folder / "report.json").read_text())
    without = report["recipe"]["excluded"]
    return {
        "description": "Pseudo-labels on a held-out slice of training data (other seeds): the cheapest configuration "
        f"that reaches {report['recipe']['target']:.0%} of the largest one's accuracy, per task"
        f"{f'; trained without {chr(44).join(without)}' if without else ''}.",
        "labels": report["labels"],
        "label_accuracy": report["accuracy"],
        "agreement": report["curve"][-1]["agreement"],
        "seconds": round(report["seconds"]),
    }


def _millions(member: Member) -> str:
    modules = (member.model, *([] if member.visor is None else [member.visor]))
    return f"{sum(weight.numel() for module in modules for weight in module.parameters()) / 1e6:.1f}"


def _on_dev(
    member: Member, processor: LlavaOnevisionProcessor, plans: Mapping[str, StepPlan], images: int
) -> dict[str, dict[str, Tally]]:
    _, dev = stages.streams(processor, LanguageRecipe(name="dev", steps=1))
    packed = PackedModel(member.model, member.visor, torch.bfloat16, compiled=True)
    found = evaluate(packed, evaluation_batches(dev, images), plans)
    for plan, tallies in found.items():
        scores = {key: 100 * tally.accuracy for key, tally in tallies.items() if "/" not in key}
        log.info(
            "dev %s mean %.1f %s", plan, sum(scores.values()) / len(scores), {k: round(v) for k, v in scores.items()}
        )
    return found
