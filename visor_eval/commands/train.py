"""`visor-eval train RECIPE`: the embedded family, stage by stage."""

from __future__ import annotations

import argparse
import difflib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_verbose
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.records.pseudo_labels import PseudoLabels
    from visor_eval.training.neighbours import NeighbourRecipe
    from visor_eval.training.processes import Processes
    from visor_eval.training.recipes import LanguageRecipe, RouterRecipe

_Recipe = TypeVar("_Recipe", "LanguageRecipe", "RouterRecipe")
_Typed = TypeVar("_Typed", "LanguageRecipe", "NeighbourRecipe")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where a stage runs and what differs from its recipe."""

    work: Path  # the folder of all stages
    output: Path  # where `export` writes
    processes: Processes
    steps: int | None = None  # instead of the recipe's
    seed: int = 0  # added to the recipe's
    dtype: str | None = None  # of matrix products: float32, bfloat16; None: the recipe's
    labels: Path | None = None  # of a router
    adopted: str | None = None  # the checkpoint that is taken as what a language stage has come to

    def changed(self, recipe: _Recipe) -> _Recipe:
        """The recipe under another seed or length."""
        recipe = replace(recipe, seed=recipe.seed + self.seed)
        return recipe.of_length(self.steps) if self.steps else recipe

    def language(self, recipe: LanguageRecipe) -> LanguageRecipe:
        """The same, and in another type."""
        return self.typed(self.changed(recipe))

    def typed(self, recipe: _Typed) -> _Typed:
        """The recipe with matrix products in another type."""
        return recipe if self.dtype is None else replace(recipe, bfloat16=self.dtype == "bfloat16")


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser("train", help="train the embedded family again, stage by stage; resumes")
    parser.add_argument(
        "recipe",
        help="foundation (model, tokenizer, encoder), a language stage (base, visor, dense, m3, ...), STAGE/router or "
        "STAGE/router-excl, export, or family: everything in order. docs/training.md lists the stages",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("results/train"), help="folder of all stages; they resume there"
    )
    parser.add_argument("--output", type=Path, help="where `export` writes the checkpoints (default: WORK/checkpoints)")
    parser.add_argument("--steps", type=int, help="steps of the stage, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; docs/training.md: several processes")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of matrix products; default: the recipe's")
    parser.add_argument("--labels", type=Path, help="router: labels written by `visor-eval oracle --labels`")
    parser.add_argument(
        "--adopt",
        metavar="CHECKPOINT",
        help="do not train: take an embedded member or a folder as what this language stage has come to",
    )
    add_verbose(parser)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Run the recipe and say what was written."""
    import torch

    from visor_eval.training.processes import Processes

    job = Job(
        work=options.work,
        output=options.output or options.work / "checkpoints",
        processes=Processes.launched(options.device),
        steps=options.steps,
        seed=options.seed,
        dtype=options.dtype,
        labels=options.labels,
        adopted=options.adopt,
    )
    torch.set_num_threads(1)  # two threads stall at barriers in layers this small (docs/log.md)
    written = run(options.recipe, job)
    if job.processes.is_main:
        say(f"written: {written}")
    job.processes.finish()
    return 0


def run(recipe: str, job: Job) -> Path:
    """Run one stage, or all of them in order; returns the folder written.

    Raises:
        SetupError: an unknown stage, one that must run before has not, or labels that cannot be used.
    """
    if job.labels is not None and "/" not in recipe:
        raise SetupError(f"--labels belongs to a router, e.g. `visor-eval train visor/router`, not to {recipe}")
    if job.adopted is not None and ("/" in recipe or recipe in ("family", "foundation", "export")):
        raise SetupError(f"--adopt belongs to a language stage, e.g. `visor-eval train base`, not to {recipe}")
    if recipe != "family":
        return _stage(recipe, job)
    if job.steps is not None:
        raise SetupError("--steps belongs to one stage; the stages of a family have lengths of their own: leave it out")
    written = job.output
    for stage in everything():
        log.info("stage %s", stage)
        written = _stage(stage, job)
    return written


def everything() -> tuple[str, ...]:
    """All stages in the order in which they need each other."""
    from visor_eval.training.members import FAMILY
    from visor_eval.training.recipes import LANGUAGE

    routers = tuple(f"{member.stage}/{member.router}" for member in FAMILY if member.router)
    return ("foundation", *LANGUAGE, *routers, "export")


def _stage(stage: str, job: Job) -> Path:
    from visor_eval.training import stages
    from visor_eval.training.attention import AttentionRecipe
    from visor_eval.training.encoder import EncoderRecipe
    from visor_eval.training.members import export_family
    from visor_eval.training.neighbours import NeighbourRecipe
    from visor_eval.training.recipes import LANGUAGE, ROUTERS

    known = everything()
    if stage not in known:
        close = difflib.get_close_matches(stage, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}, family"
        raise SetupError(f"unknown recipe {stage!r}: {hint}")
    if job.processes.count > 1 and stage not in LANGUAGE:
        raise SetupError(f"{stage} runs in one process: several can share a language stage ({', '.join(LANGUAGE)})")
    language, _, router = stage.partition("/")
    work, device = job.work, job.processes.device
    if stage == "foundation":
        recipe, looks, taught = EncoderRecipe(), AttentionRecipe(), job.typed(NeighbourRecipe())
        if job.steps:
            recipe, looks = replace(recipe, pretrain_steps=job.steps), replace(looks, steps=job.steps)
            taught = replace(taught, steps=job.steps)
        stages.foundation(work, recipe, looks, taught, seed=job.seed, device=device)
    elif stage == "export":
        export_family(work, job.output, seed=job.seed)
        return job.output
    elif job.adopted is not None:
        stages.adopt(work, LANGUAGE[stage], _folder(job.adopted))
    elif not router:
        stages.language(work, job.language(LANGUAGE[stage]), processes=job.processes)
    else:
        given = None if job.labels is None else _labels(job.labels)
        stages.router(work, LANGUAGE[language], job.changed(ROUTERS[router]), given=given, device=device)
    return work / stage


def _folder(checkpoint: str) -> Path:
    from visor_eval.harness.checkpoints import find_checkpoint
    from visor_eval.models.files import checkpoint_folder

    return checkpoint_folder(find_checkpoint(checkpoint, default=checkpoint).source)


def _labels(file: Path) -> PseudoLabels:
    from visor_eval.records import StoreError
    from visor_eval.records.pseudo_labels import PseudoLabels

    try:
        return PseudoLabels.read(file)
    except StoreError as error:
        raise SetupError(f"--labels {file}: {error}") from error
