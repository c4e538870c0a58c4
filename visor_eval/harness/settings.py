"""What a user may leave open: device, number format, options written as text."""

import ast
import re
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING

from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.models.engine import Engine

DTYPES = ("float32", "bfloat16", "float16")


def resolve_device(device: str | None) -> str:
    """The torch device to use; None or ``auto``: the GPU if there is one.

    Raises:
        SetupError: no such device here.
    """
    import torch

    if device in (None, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise SetupError(f"unknown device {device!r}: use cpu, cuda or cuda:<index>") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise SetupError(f"device {device!r} asked for, but torch sees no GPU: use --device cpu")
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """The number format; ``auto``: bfloat16 on a GPU, float32 on a CPU.

    Raises:
        SetupError: unknown format.
    """
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    if dtype not in DTYPES:
        raise SetupError(f"unknown dtype {dtype!r}: use {', '.join(DTYPES)} or auto")
    return dtype


def parse_options(text: str | None) -> dict[str, object]:
    """Read ``--model_args key=value,key=value``; numbers, booleans, None and tuples ``(8,16)`` are recognised.

    Raises:
        SetupError: a piece is no key=value pair.
    """
    options: dict[str, object] = {}
    for piece in filter(None, re.split(r",(?![^(]*\))", text or "")):  # commas outside parentheses
        key, separator, value = piece.partition("=")
        if not separator or not key.strip():
            raise SetupError(f"--model_args: {piece!r} is not key=value")
        options[key.strip()] = _value(value.strip())
    return options


def method_settings(engine: "Engine") -> dict[str, object]:
    """What a method ran with, defaults included: the layout of its tokens and the fields of its parts (JSON values)."""
    reduction = getattr(engine, "reduction", None)
    if reduction is None:  # an engine of a third party's own
        return {}
    parts = [*reduction.reducers, engine.decoder.pruner]
    return {
        "newline": reduction.layout.newline,
        "unpad": reduction.layout.unpad,
        "parts": {
            type(part).__name__: asdict(part) for part in parts if is_dataclass(part) and not isinstance(part, type)
        },
    }


def _value(text: str) -> object:
    lowered = text.lower()
    if lowered in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[lowered]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, (int, float, tuple)) else text
