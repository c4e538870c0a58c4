"""Flags that several verbs share, spelled as in lmms-eval."""

import argparse
from pathlib import Path
from typing import TypeAlias

from visor_eval.errors import SetupError

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def flag(parser: argparse.ArgumentParser, name: str, **settings: object) -> None:
    """A flag spelled as in lmms-eval (underscore) and with dashes."""
    parser.add_argument(name, name.replace("_", "-"), **settings)  # type: ignore[arg-type]


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """`--verbose`: every verb has it."""
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the libraries say, and tracebacks")


def add_task_flags(parser: argparse.ArgumentParser) -> None:
    """Which questions are asked, how many at once, and where what comes of it lies."""
    parser.add_argument("--tasks", default="easy,hard", help="groups (easy, hard) and task names, comma-separated")
    parser.add_argument("--suite", choices=("mini", "paper"), help="default: mini for embedded checkpoints, else paper")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N samples per task (MME: whole pairs)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="<task>.parquet files instead of the suite's own data")
    flag(parser, "--batch_size", default="auto", help="samples per batch; auto (default) goes by image size")
    flag(parser, "--output_path", default="results", type=Path, help="records are written below this folder")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """`--seed`."""
    parser.add_argument("--seed", type=int, default=1234)


def add_kernels(parser: argparse.ArgumentParser) -> None:
    """`--kernels`: what the decoder's layers run on (`models/kernels.py`)."""
    parser.add_argument(
        "--kernels",
        choices=("stock", "packed", "compiled"),
        default="stock",
        help="stock (default); packed: weights packed for the CPU; compiled: torch.compile (docs/speed.md)",
    )


def add_model_flags(parser: argparse.ArgumentParser, *, default: str, several: bool) -> None:
    """Which model, from which weights, on which device.

    Args:
        parser: the verb's.
        default: the method if none is named.
        several: whether the verb takes several models, comma-separated.
    """
    parser.add_argument(
        "--model",
        default=default,
        help=f"method, parts joined with + (visor+visionzip){', several comma-separated' if several else ''}; "
        f"default {default}",
    )
    flag(parser, "--model_args", metavar="K=V,...", help="options of the method; see its file")
    parser.add_argument(
        "--pretrained",
        help="embedded checkpoint, folder or hub id"
        f"{', or one per model: dense=A,visor=B' if several else ''}; default: the embedded one of the method",
    )
    parser.add_argument("--config", help="VISOR configuration: router, largest, or layers such as 1,4")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16, float16; auto: by device")
    add_verbose(parser)


def names(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, without the empty ones."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def models(text: str, pretrained: str | None) -> tuple[str, ...]:
    """The methods of `--model`; `all` means each that has an embedded checkpoint, or can run on the one named."""
    if text != "all":
        return names(text)
    from visor_eval.harness.registry import ready_methods

    return ready_methods(pretrained)


def batch_size(text: str) -> int | None:
    """`--batch_size`; None stands for auto.

    Raises:
        SetupError: neither a number nor auto.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise SetupError(f"--batch_size {text}: give a number, or auto") from None
