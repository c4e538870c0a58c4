"""How the built-in models become engines. Signature: see `registry.py`."""

from collections.abc import Sequence
from typing import Any, Literal

from visor_eval.errors import SetupError
from visor_eval.models.engine import Engine
from visor_eval.models.files import checkpoint_folder
from visor_eval.models.layout import Layout
from visor_eval.models.loading import load_backbone
from visor_eval.models.reduction import Reduction
from visor_eval.visor.build import build_visor, build_visor_zero

Newline = Literal["per_row", "none"]


def dense(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Any],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """The unmodified model; parts reduce before its decoder, laid out as ``newline`` and ``unpad`` say."""
    if config is not None:
        raise SetupError(f"--config {config}: only visor and visor-zero have configurations")
    reduction = _reduction(parts, newline, unpad)
    backbone = load_backbone(checkpoint, device=device, dtype=dtype)
    return Engine(backbone, backbone.shape, reduction=reduction)


def visor(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Any],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """Trained VISOR."""
    reduction = _reduction(parts, newline, unpad)
    folder = checkpoint_folder(checkpoint)
    backbone = load_backbone(folder, device=device, dtype=dtype)
    return build_visor(backbone, folder, config=config, reduction=reduction)


def visor_zero(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Any],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """VISOR's layer plan on a stock checkpoint, without training."""
    reduction = _reduction(parts, newline, unpad)
    backbone = load_backbone(checkpoint, device=device, dtype=dtype)
    return build_visor_zero(backbone, config=config, reduction=reduction)


def _reduction(parts: Sequence[Any], newline: Newline, unpad: bool) -> Reduction:
    """The parts that act before the decoder, and the layout of what they leave.

    Raises:
        SetupError: a part prunes between decoder layers, which the engine does not run yet; an unknown layout.
    """
    if pruners := [type(part).__name__ for part in parts if not hasattr(part, "reduce")]:
        raise SetupError(f"{', '.join(pruners)}: pruning between decoder layers is not available in this version")
    try:
        layout = Layout(newline=newline, unpad=unpad)
    except ValueError as error:
        raise SetupError(f"--model_args: {error}") from error
    return Reduction(tuple(parts), layout)
