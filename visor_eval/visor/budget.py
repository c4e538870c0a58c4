"""What VISOR costs, in plain numbers: its configurations, its router's pass, packed tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from visor_eval.cost.budgets import Need, TileShape
from visor_eval.cost.plan import Reader
from visor_eval.cost.shapes import BackboneShape, VisorShape
from visor_eval.cost.variants import Variant
from visor_eval.visor.config import VisorConfig


@dataclass(frozen=True, kw_only=True)
class PackingBudget:
    """Pack about ``factor`` vision tokens into one."""

    factor: float = 2.0
    mode: Literal["interpolate", "space_to_depth"] = "interpolate"

    needs = frozenset[Need]()
    after_projector = False

    def __post_init__(self) -> None:
        """Reject factors that would add tokens."""
        if self.factor < 1:
            raise ValueError(f"packing factor must be at least 1, got {self.factor}")

    @property
    def nominal_factor(self) -> float:
        """What the `paper` accounting divides by: the paper counts exactly 2 for 19 x 19 of 27 x 27."""
        return self.factor

    def packed_shape(self, tile_shape: TileShape) -> TileShape:
        """Tokens per tile after packing (27 x 27: 19 x 19 at factor 2, 14 x 14 at factor 4)."""
        rows, cols = (max(1, round(side / self.factor**0.5)) for side in tile_shape)
        return rows, cols

    def left(self, tiles: int, tile_shape: TileShape) -> TileShape:
        """The packed grid."""
        return self.packed_shape(tile_shape)

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Interpolation has no matrix product."""
        return 0


def dense(backbone: BackboneShape) -> Sequence[Variant]:
    """Every layer processes every vision token."""
    return [Variant(method="dense")]


def visor(backbone: BackboneShape) -> Sequence[Variant]:
    """Every viable configuration, chosen by a router whose pass is counted."""
    settings = VisorConfig.for_layers(backbone.decoder.layers, router=True)
    shape = VisorShape(
        read_layers=settings.read_layers,
        conv_kernel=settings.conv_kernel,
        router_hidden=settings.router_hidden,
        configurations=len(settings.configurations),
        probe_layer=settings.probe_layer,
    )
    return [
        Variant(
            method="visor",
            setting=str(list(configuration)),
            full=configuration,
            read=settings.read_layers,
            visor=shape,
        )
        for configuration in settings.configurations
    ]


def visor_tr(backbone: BackboneShape) -> Sequence[Variant]:
    """The same on vision tokens packed 2 and 4 to 1."""
    return [
        replace(
            variant, method="visor-tr", setting=f"{factor}x {variant.setting}", reducers=(PackingBudget(factor=factor),)
        )
        for factor in (2, 4)
        for variant in visor(backbone)
    ]


def visor_zero(backbone: BackboneShape) -> Sequence[Variant]:
    """The same layers without training: text reads through each layer's own attention, no router."""
    return [replace(variant, method="visor-zero", reader=Reader.OWN, visor=None) for variant in visor(backbone)]
