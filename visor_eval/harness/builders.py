"""How the built-in models become engines. Signature: see `registry.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from visor_eval.core.pruning import Pruner
from visor_eval.core.tokens import Reducer
from visor_eval.errors import SetupError
from visor_eval.models.engine import Engine
from visor_eval.models.files import checkpoint_folder
from visor_eval.models.layout import Layout
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.loading import load_backbone
from visor_eval.models.reduction import Reduction
from visor_eval.models.shapes import backbone_shape
from visor_eval.visor.build import build_visor, build_visor_zero

Newline = Literal["per_row", "none"]
Part = Reducer | Pruner
SMALL_HIDDEN = 256  # decoder width


def dense(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Part],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """The unmodified model; with parts, those reducers before its decoder and that pruner inside it."""
    if config is not None:
        raise SetupError(f"--config {config}: only visor and visor-zero have configurations")
    backbone = _load(checkpoint, device, dtype)
    return dense_engine(backbone, parts, _layout(newline, unpad))


def dense_engine(backbone: LlavaOnevision, parts: Sequence[Part], layout: Layout) -> Engine:
    """As ``dense``, with a loaded backbone at hand."""
    reducers, pruner = _sorted(parts)
    shape = backbone_shape(backbone.model.config, "dense")
    return Engine(backbone, shape, reduction=Reduction(reducers, layout), pruner=pruner)


def visor(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Part],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """Trained VISOR."""
    reduction = Reduction(_reducers_only("visor", parts), _layout(newline, unpad))
    folder = checkpoint_folder(checkpoint)
    return build_visor(_load(folder, device, dtype), folder, config=config, reduction=reduction)


def visor_tr(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Part],
    newline: Newline = "per_row",
    unpad: bool = True,
    factor: float = 2.0,
) -> Engine:
    """VISOR on packed tokens; on weights that were not trained for it, packing is training-free."""
    reduction = Reduction(_reducers_only("visor-tr", parts), _layout(newline, unpad))
    folder = checkpoint_folder(checkpoint)
    backbone = _load(folder, device, dtype)
    return build_visor(backbone, folder, config=config, reduction=reduction, packing=factor)


def visor_zero(
    checkpoint: str,
    *,
    device: str,
    dtype: str,
    config: str | None,
    parts: Sequence[Part],
    newline: Newline = "per_row",
    unpad: bool = True,
) -> Engine:
    """VISOR's layer plan on a stock checkpoint, without training."""
    reduction = Reduction(_reducers_only("visor-zero", parts), _layout(newline, unpad))
    return build_visor_zero(_load(checkpoint, device, dtype), config=config, reduction=reduction)


def _layout(newline: Newline, unpad: bool) -> Layout:
    try:
        return Layout(newline=newline, unpad=unpad)
    except ValueError as error:
        raise SetupError(f"--model_args: {error}") from error


def _load(checkpoint: str | Path, device: str, dtype: str) -> LlavaOnevision:
    """Load a backbone; small decoders run on one CPU thread, since threads would wait longer than they compute."""
    backbone = load_backbone(checkpoint, device=device, dtype=dtype)
    if device == "cpu" and backbone.shape.decoder.hidden <= SMALL_HIDDEN:
        torch.set_num_threads(1)  # measured: docs/log.md
    return backbone


def _sorted(parts: Sequence[Part]) -> tuple[tuple[Reducer, ...], Pruner | None]:
    """Reducers in order, and the one pruner."""
    pruners = [part for part in parts if hasattr(part, "prune")]
    if len(pruners) > 1:
        names = " and ".join(type(pruner).__name__ for pruner in pruners)
        raise SetupError(f"{names} both prune inside the decoder, each by its own schedule: use one of them")
    reducers = tuple(part for part in parts if not hasattr(part, "prune"))
    return reducers, pruners[0] if pruners else None  # type: ignore[return-value]


def _reducers_only(model: str, parts: Sequence[Part]) -> tuple[Reducer, ...]:
    reducers, pruner = _sorted(parts)
    if pruner is not None:
        raise SetupError(
            f"{type(pruner).__name__} scores vision tokens in layers that {model} runs without them: "
            "use it with dense, or compose visor with a reducer such as visor+visionzip"
        )
    return reducers
