"""What VisionZip keeps: 104 + 24 of a 729-token tile (VISOR paper, S12)."""

from dataclasses import dataclass
from typing import ClassVar

from visor_baselines.budgets.tile import tile_budget
from visor_eval.cost.budgets import Need, Selection, TileShape


@dataclass(frozen=True, kw_only=True)
class VisionZipBudget:
    """Dominant tokens stay, contextual ones are merged from the rest."""

    dominant: int | None = None  # per tile, kept unchanged; None: 104 of 729
    contextual: int | None = None  # per tile, absorb all others; None: 24 of 729

    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "keys"})
    after_projector: ClassVar[bool] = False

    def budget(self, tokens: int) -> tuple[int, int]:
        """Dominant and contextual tokens of a tile of ``tokens``."""
        dominant, contextual = tile_budget(tokens, (self.dominant, 104), (self.contextual, 24))
        return dominant, contextual

    def left(self, tiles: int, tile_shape: TileShape) -> Selection:
        """The same number of every tile."""
        dominant, contextual = self.budget(tile_shape[0] * tile_shape[1])
        return Selection.per_tile(tiles, dominant, contextual)

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Similarity of leftovers and targets, and the sums over groups."""
        count, contextual = self.budget(tokens)
        return 2 * tiles * (tokens - count) * contextual * (key_dim + dim)
