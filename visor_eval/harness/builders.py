"""How the built-in models become engines. Signature: see `registry.py`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from visor_eval.core.pruning import Pruner
from visor_eval.core.tokens import Reducer
from visor_eval.errors import SetupError
from visor_eval.harness.registry import BuildRequest
from visor_eval.models.engine import Engine
from visor_eval.models.files import checkpoint_folder
from visor_eval.models.layout import Layout
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.loading import load_backbone
from visor_eval.models.reduction import Reduction
from visor_eval.models.shapes import backbone_shape
from visor_eval.visor.build import build_visor, build_visor_zero
from visor_eval.visor.checkpoint import read_visor_config

Newline = Literal["per_row", "none"]
SMALL_HIDDEN = 256  # decoder width
UNTRAINED_PACKING = 2.0


def dense(request: BuildRequest, *, newline: Newline = "per_row", unpad: bool = True) -> Engine:
    """The unmodified model; with parts, those reducers before its decoder and that pruner inside it."""
    if request.config is not None:
        raise SetupError(f"--config {request.config}: only visor and visor-zero have configurations")
    return dense_engine(_load(request), request.parts, _layout(newline, unpad))


def dense_engine(backbone: LlavaOnevision, parts: Sequence[object], layout: Layout) -> Engine:
    """As ``dense``, with a loaded backbone at hand."""
    reducers, pruner = _sorted(parts)
    shape = backbone_shape(backbone.model.config, "dense")
    return Engine(backbone, shape, reduction=Reduction(reducers, layout), pruner=pruner)


def visor(request: BuildRequest, *, newline: Newline = "per_row", unpad: bool = True) -> Engine:
    """Trained VISOR."""
    return _visor(request, _reduction("visor", request, newline, unpad))


def visor_tr(
    request: BuildRequest, *, newline: Newline = "per_row", unpad: bool = True, factor: float | None = None
) -> Engine:
    """VISOR on packed tokens; on weights that were not trained for it, packing is training-free (default 2x)."""
    trained = read_visor_config(checkpoint_folder(request.checkpoint))
    if factor is None and (trained is None or trained.packing == 1):
        factor = UNTRAINED_PACKING
    return _visor(request, _reduction("visor-tr", request, newline, unpad), packing=factor)


def visor_zero(request: BuildRequest, *, newline: Newline = "per_row", unpad: bool = True) -> Engine:
    """VISOR's layer plan on a stock checkpoint, without training."""
    reduction = _reduction("visor-zero", request, newline, unpad)
    return build_visor_zero(_load(request), config=request.config, reduction=reduction)


def _visor(request: BuildRequest, reduction: Reduction, *, packing: float | None = None) -> Engine:
    folder = checkpoint_folder(request.checkpoint)
    backbone = _load(replace(request, checkpoint=str(folder)))
    return build_visor(backbone, folder, config=request.config, reduction=reduction, packing=packing)


def _layout(newline: Newline, unpad: bool) -> Layout:
    try:
        return Layout(newline=newline, unpad=unpad)
    except ValueError as error:
        raise SetupError(f"--model_args: {error}") from error


def _load(request: BuildRequest) -> LlavaOnevision:
    """Load a backbone; small decoders run on one CPU thread, since threads would wait longer than they compute."""
    backbone = load_backbone(request.checkpoint, device=request.device, dtype=request.dtype)
    if request.device == "cpu" and backbone.shape.decoder.hidden <= SMALL_HIDDEN:
        torch.set_num_threads(1)  # measured: docs/log.md
    return backbone


def _sorted(parts: Sequence[object]) -> tuple[tuple[Reducer, ...], Pruner | None]:
    """Reducers in order, and the one pruner."""
    pruners = [part for part in parts if hasattr(part, "prune")]
    if len(pruners) > 1:
        names = " and ".join(type(pruner).__name__ for pruner in pruners)
        raise SetupError(f"{names} both prune inside the decoder, each by its own schedule: use one of them")
    reducers = tuple(part for part in parts if not hasattr(part, "prune"))
    return reducers, pruners[0] if pruners else None  # type: ignore[return-value]


def _reduction(model: str, request: BuildRequest, newline: Newline, unpad: bool) -> Reduction:
    """The reducers of a model that has no room for a pruner."""
    reducers, pruner = _sorted(request.parts)
    if pruner is not None:
        raise SetupError(
            f"{type(pruner).__name__} scores vision tokens in layers that {model} runs without them: "
            "use it with dense, or compose visor with a reducer such as visor+visionzip"
        )
    return Reduction(reducers, _layout(newline, unpad))
