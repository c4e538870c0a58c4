"""What Downsample keeps: a smaller grid per tile, 13 x 14 of 27 x 27 at its factor 4."""

from dataclasses import dataclass
from typing import ClassVar

from visor_eval.core.grids import near_square_grid
from visor_eval.cost.budgets import Need, TileShape


@dataclass(frozen=True, kw_only=True)
class DownsampleBudget:
    """About 1/``factor`` of every tile."""

    factor: float = 4.0

    needs: ClassVar[frozenset[Need]] = frozenset()
    after_projector: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Reject factors that would add tokens."""
        near_square_grid((1, 1), self.factor)

    def left(self, tiles: int, tile_shape: TileShape) -> TileShape:
        """The shrunk grid."""
        return near_square_grid(tile_shape, self.factor)

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Interpolation is no matrix product."""
        return 0
