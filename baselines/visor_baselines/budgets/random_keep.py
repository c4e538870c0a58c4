"""What the random control keeps: 128 of a 729-token tile, as many as VisionZip and VisPruner."""

from dataclasses import dataclass
from typing import ClassVar

from visor_baselines.budgets.tile import tile_budget
from visor_eval.cost.budgets import Need, Selection, TileShape


@dataclass(frozen=True, kw_only=True)
class RandomKeepBudget:
    """As many tokens of each tile, anywhere."""

    tokens: int | None = None  # per tile; None: 128 of 729

    needs: ClassVar[frozenset[Need]] = frozenset({"fingerprint"})
    after_projector: ClassVar[bool] = False

    def budget(self, tokens: int) -> tuple[int]:
        """Tokens of a tile of ``tokens``."""
        (count,) = tile_budget(tokens, (self.tokens, 128))
        return (count,)

    def left(self, tiles: int, tile_shape: TileShape) -> Selection:
        """The same number of every tile."""
        return Selection.per_tile(tiles, *self.budget(tile_shape[0] * tile_shape[1]))

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Nothing is multiplied."""
        return 0
