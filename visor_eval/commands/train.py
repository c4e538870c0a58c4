"""`visor-eval train RECIPE`: the embedded family, stage by stage."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_verbose
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.training.recipes import LanguageRecipe, RouterRecipe

RECIPES = {
    "foundation": "build the embedded model, pretrain its encoder, align its projector (about 2 minutes)",
    "universal": "train the universal VISOR member on it (about an hour on one core)",
    "dense": "train the dense member from the universal weights (about 25 minutes)",
    "router": "label a slice of training data and train the router (about 5 minutes)",
    "export": "write dense-tiny and visor-tiny with their cards",
    "family": "all of these in order; resumes where it stopped",
}
_Recipe = TypeVar("_Recipe", "LanguageRecipe", "RouterRecipe")
log = logging.getLogger(__name__)


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser("train", help="train the embedded family again, stage by stage; resumes")
    listed = "; ".join(f"{name}: {text}" for name, text in RECIPES.items())
    parser.add_argument("recipe", choices=tuple(RECIPES), help=listed)
    parser.add_argument(
        "--work", type=Path, default=Path("results/train"), help="folder of all stages; they resume there"
    )
    parser.add_argument("--output", type=Path, help="where `export` writes the checkpoints (default: WORK/checkpoints)")
    parser.add_argument("--steps", type=int, help="steps of the stage, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", type=Path, help="router: labels written by `visor-eval oracle --labels`")
    add_verbose(parser)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Run the recipe and say what was written."""
    written = run(
        options.recipe, options.work, options.output, steps=options.steps, seed=options.seed, labels=options.labels
    )
    say(f"written: {written}")
    return 0


def run(
    recipe: str,
    work: Path,
    output: Path | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    labels: Path | None = None,
) -> Path:
    """Run the recipe; returns the folder written.

    Raises:
        SetupError: a stage that must run before has not, or labels that cannot be used.
    """
    import torch

    torch.set_num_threads(1)  # two threads stall at barriers in layers this small (docs/log.md)
    output = output or work / "checkpoints"
    if labels is not None and recipe != "router":
        raise SetupError(f"--labels belongs to `visor-eval train router`, not to {recipe}")
    if recipe != "family":
        return _stage(recipe, work, output, steps, seed, labels)
    for stage in ("foundation", "universal", "dense", "router", "export"):
        log.info("stage %s", stage)
        written = _stage(stage, work, output, None, seed)
    return written


def _stage(stage: str, work: Path, output: Path, steps: int | None, seed: int, labels: Path | None = None) -> Path:
    from visor_eval.records import StoreError
    from visor_eval.records.pseudo_labels import PseudoLabels
    from visor_eval.training import recipes, stages
    from visor_eval.training.encoder import EncoderRecipe
    from visor_eval.training.members import export_family

    def shortened(recipe: _Recipe) -> _Recipe:
        recipe = replace(recipe, seed=seed)
        return recipe.of_length(steps) if steps else recipe

    if stage == "foundation":
        recipe = EncoderRecipe()
        stages.foundation(work, replace(recipe, pretrain_steps=steps or recipe.pretrain_steps), seed=seed)
    elif stage == "universal":
        stages.universal(work, shortened(recipes.universal()))
    elif stage == "dense":
        stages.dense(work, shortened(recipes.dense()))
    elif stage == "router":
        try:
            given = None if labels is None else PseudoLabels.read(labels)
        except StoreError as error:
            raise SetupError(f"--labels {labels}: {error}") from error
        stages.router(work, shortened(recipes.RouterRecipe()), given=given)
    else:
        export_family(work, output)
        return output
    return work / stage
