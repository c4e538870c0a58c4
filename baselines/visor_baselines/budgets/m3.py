"""What M3 keeps: a coarser grid per tile, 9 x 10 of 27 x 27 at its factor 8."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, Literal

from visor_eval.core.grids import near_square_grid
from visor_eval.cost.budgets import Need, TileShape


@dataclass(frozen=True, kw_only=True)
class M3Budget:
    """About 1/``factor`` of every tile."""

    factor: float = 8.0  # of the VISOR paper's main table; its scales are 1, 4, 8, 16
    pooling: Literal["adaptive", "kernel"] = "adaptive"
    after_projector: bool = True  # as the authors' code; False: as their paper

    needs: ClassVar[frozenset[Need]] = frozenset()
    settings: ClassVar[Mapping[str, Mapping[str, object]]] = {"": {}, "16x": {"factor": 16.0}}  # table S3's as well

    def __post_init__(self) -> None:
        """Reject factors that would add tokens, and unknown rules."""
        near_square_grid((1, 1), self.factor)
        if self.pooling not in ("adaptive", "kernel"):
            raise ValueError(f"pooling must be adaptive or kernel, got {self.pooling!r}")

    def kernel(self, tile_shape: TileShape) -> int:
        """Side of the authors' pooling window; their argument is a number of tokens."""
        tokens = tile_shape[0] * tile_shape[1]
        return min(int(sqrt(tokens / max(1, int(tokens / self.factor)))), *tile_shape)

    def left(self, tiles: int, tile_shape: TileShape) -> TileShape:
        """The pooled grid."""
        if self.pooling == "adaptive":
            return near_square_grid(tile_shape, self.factor)
        side = self.kernel(tile_shape)
        return tile_shape[0] // side, tile_shape[1] // side

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Pooling is no matrix product."""
        return 0
