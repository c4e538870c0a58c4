"""Put VISOR on a loaded backbone: trained (router or a fixed configuration) or training-free."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from visor_eval.cost.plan import Reader as ReaderKind
from visor_eval.cost.shapes import VisorShape
from visor_eval.errors import SetupError
from visor_eval.models.decoder import Chooser, FixedChoice
from visor_eval.models.engine import Engine
from visor_eval.models.generation import GREEDY, Sampling
from visor_eval.models.reduction import UNREDUCED, Reduction
from visor_eval.models.shapes import backbone_shape
from visor_eval.visor.checkpoint import load_visor
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.packing import packers
from visor_eval.visor.readers import AddedBlock, StaleKeys
from visor_eval.visor.routing import RoutedChoice

if TYPE_CHECKING:
    from pathlib import Path

    from visor_eval.models.llava_onevision import LlavaOnevision
    from visor_eval.visor.modules import VisorModules

ROUTER = "router"
LARGEST = "largest"


def build_visor(
    backbone: LlavaOnevision,
    folder: Path,
    *,
    config: str | None = None,
    reduction: Reduction = UNREDUCED,
    packing: float | None = None,
    sampling: Sampling = GREEDY,
) -> Engine:
    """Trained VISOR.

    Args:
        backbone: loaded from ``folder``.
        folder: the checkpoint, for its ``visor.*`` weights.
        config: ``router`` (default where the checkpoint has one), ``largest``, or layers such as ``1,4``.
        reduction: further reducers, applied before the checkpoint's own token packing, and the layout.
        packing: pack this many vision tokens into one where the checkpoint packs none itself.
        sampling: how tokens are drawn.

    Raises:
        SetupError: no VISOR weights, no router, or a layer that cannot be chosen.
    """
    modules = load_visor(folder, backbone.model)
    return visor_engine(
        backbone, modules, name=folder.name, config=config, reduction=reduction, packing=packing, sampling=sampling
    )


def visor_engine(
    backbone: LlavaOnevision,
    modules: VisorModules,
    *,
    name: str = "visor",
    config: str | None = None,
    reduction: Reduction = UNREDUCED,
    packing: float | None = None,
    sampling: Sampling = GREEDY,
) -> Engine:
    """As ``build_visor``, with modules at hand."""
    settings = modules.config
    if config in (None, ROUTER) and modules.router is not None:
        chooser: Chooser = RoutedChoice(modules.router, settings)
    elif config == ROUTER:
        raise SetupError(f"{name} has no router: give --config {LARGEST} or layers such as --config 1,4")
    else:
        chooser = FixedChoice(fixed_configuration(config or LARGEST, settings))
    reduction = replace(reduction, reducers=(*reduction.reducers, *packers(settings, packing)))
    shape = VisorShape(
        read_layers=settings.read_layers,
        conv_kernel=settings.conv_kernel,
        router_hidden=settings.router_hidden if modules.router is not None else 0,
        configurations=len(settings.configurations),
        probe_layer=settings.probe_layer,
    )
    return Engine(
        backbone,
        backbone_shape(backbone.model.config, name, shape),
        chooser=chooser,
        readers={int(layer): AddedBlock(block) for layer, block in modules.blocks.items()},  # type: ignore[arg-type]
        reduction=reduction,
        sampling=sampling,
    )


def build_visor_zero(
    backbone: LlavaOnevision,
    *,
    config: str | None = None,
    reduction: Reduction = UNREDUCED,
    sampling: Sampling = GREEDY,
) -> Engine:
    """The idea without training, on any stock checkpoint: layers that are not full read stale vision keys.

    Text reads in VISOR's read layers through the layer's own attention (``StaleKeys``). Never to be confused with
    trained VISOR: no weights were adapted to it.
    """
    settings = VisorConfig.for_layers(backbone.shape.decoder.layers)
    if config == ROUTER:
        raise SetupError(f"visor-zero has no router: give --config {LARGEST} or layers such as --config 1,4")
    return Engine(
        backbone,
        backbone_shape(backbone.model.config, "visor-zero"),
        chooser=FixedChoice(fixed_configuration(config or LARGEST, settings)),
        readers={layer: StaleKeys() for layer in settings.read_layers},
        reader_kind=ReaderKind.OWN,
        reduction=reduction,
        sampling=sampling,
    )


def fixed_configuration(text: str, settings: VisorConfig) -> tuple[int, ...]:
    """``largest``, ``none`` or layers such as ``1,4,7`` as a checked configuration."""
    if text == LARGEST:
        return settings.largest
    if text == "none":
        return ()
    try:
        layers = tuple(int(part) for part in text.strip("[]() ").replace(" ", "").split(",") if part)
    except ValueError:
        raise SetupError(
            f"unknown configuration {text!r}: give {ROUTER}, {LARGEST}, none, or layers such as 1,4,7"
        ) from None
    return settings.check(layers)
