"""``visor-eval train RECIPE``: the command line of the training room."""

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

RECIPES = {
    "foundation": "build the embedded model, pretrain its encoder, align its projector (about 2 minutes)",
    "universal": "train the universal VISOR member on it (about an hour on one core, estimated)",
    "dense": "train the dense member from the universal weights (about 15 minutes)",
    "router": "label a slice of training data and train the router (about 5 minutes)",
    "export": "write dense-tiny and visor-tiny with their cards",
    "family": "all of these in order; resumes where it stopped",
}
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    listed = "; ".join(f"{name}: {text}" for name, text in RECIPES.items())
    parser.add_argument("recipe", choices=tuple(RECIPES), help=listed)
    parser.add_argument(
        "--work", type=Path, default=Path("results/train"), help="folder of all stages; they resume there"
    )
    parser.add_argument("--output", type=Path, help="where `export` writes the checkpoints (default: WORK/checkpoints)")
    parser.add_argument("--steps", type=int, help="steps of the stage, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> Path:
    """Run the recipe; returns the folder written.

    Raises:
        SetupError: a stage that must run before has not.
    """
    import torch

    torch.set_num_threads(1)  # two threads stall at barriers in layers this small (docs/log.md)
    work: Path = arguments.work
    output: Path = arguments.output or work / "checkpoints"
    if arguments.recipe != "family":
        return _stage(arguments.recipe, work, output, arguments.steps, arguments.seed)
    for stage in ("foundation", "universal", "dense", "router", "export"):
        log.info("stage %s", stage)
        written = _stage(stage, work, output, None, arguments.seed)
    return written


def _stage(stage: str, work: Path, output: Path, steps: int | None, seed: int) -> Path:
    from visor_eval.training import recipes, stages
    from visor_eval.training.encoder import EncoderRecipe
    from visor_eval.training.members import export_family

    changes = {"seed": seed} | ({"steps": steps} if steps else {})
    if stage == "foundation":
        recipe = EncoderRecipe()
        stages.foundation(work, replace(recipe, pretrain_steps=steps or recipe.pretrain_steps), seed=seed)
    elif stage == "router":
        stages.router(work, recipes.RouterRecipe(**changes))
    elif stage == "export":
        export_family(work, output)
        return output
    else:
        language: dict[str, Callable[[], object]] = {
            "universal": lambda: stages.universal(work, recipes.universal(**changes)),
            "dense": lambda: stages.dense(work, recipes.dense(**changes)),
        }
        language[stage]()
    return work / stage
