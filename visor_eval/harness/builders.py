"""How the built-in models become engines. Signature: see `registry.py`."""

from collections.abc import Sequence
from typing import Literal

from visor_eval.core.tokens import Reducer
from visor_eval.errors import SetupError
from visor_eval.models.engine import Engine
from visor_eval.models.files import checkpoint_folder
from visor_eval.models.layout import Layout
from visor_eval.models.loading import load_backbone
from visor_eval.models.reduction import Reduction
from visor_eval.models.shapes import backbone_shape
from visor_eval.visor.build import build_visor, build_visor_zero

Newline = Literal["per_row", "none"]


def dense(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Reducer],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """The unmodified model; with parts, those reducers before its decoder."""
    if config is not None:
        raise SetupError(f"--config {config}: only visor and visor-zero have configurations")
    backbone = load_backbone(checkpoint, device=device, dtype=dtype)
    reduction = _reduction(parts, newline, unpad)
    return Engine(backbone, backbone_shape(backbone.model.config, "dense"), reduction=reduction)


def visor(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Reducer],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """Trained VISOR."""
    folder = checkpoint_folder(checkpoint)
    backbone = load_backbone(folder, device=device, dtype=dtype)
    return build_visor(backbone, folder, config=config, reduction=_reduction(parts, newline, unpad))


def visor_zero(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Reducer],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """VISOR's layer plan on a stock checkpoint, without training."""
    backbone = load_backbone(checkpoint, device=device, dtype=dtype)
    return build_visor_zero(backbone, config=config, reduction=_reduction(parts, newline, unpad))


def _reduction(parts: Sequence[Reducer], newline: Newline, unpad: bool) -> Reduction:
    return Reduction(tuple(parts), Layout(newline=newline, unpad=unpad))
