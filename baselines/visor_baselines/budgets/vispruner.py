"""What VisPruner keeps: 96 + 32 of a 729-token tile (VISOR paper, S12); 34 + 12 for its 16x (S6)."""

from dataclasses import dataclass
from typing import ClassVar

from visor_baselines.budgets.tile import tile_budget
from visor_eval.cost.budgets import Need, Selection, TileShape


@dataclass(frozen=True, kw_only=True)
class VisPrunerBudget:
    """Important tokens by attention, diverse ones by dissimilarity."""

    important: int | None = None  # per tile, by attention; None: 96 of 729
    diverse: int | None = None  # per tile, by dissimilarity; None: 32 of 729

    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})
    after_projector: ClassVar[bool] = False
    paper: ClassVar[tuple[int, int]] = (96, 32)

    def budget(self, tokens: int) -> tuple[int, int]:
        """Important and diverse tokens of a tile of ``tokens``."""
        important, diverse = tile_budget(tokens, (self.important, self.paper[0]), (self.diverse, self.paper[1]))
        return important, diverse

    def left(self, tiles: int, tile_shape: TileShape) -> Selection:
        """The same number of every tile."""
        return Selection.per_tile(tiles, sum(self.budget(tile_shape[0] * tile_shape[1])))

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """One matrix of similarities of the residual tokens."""
        important, diverse = self.budget(tokens)
        residual = tokens - important
        return 2 * tiles * residual**2 * dim if 0 < diverse < residual else 0


@dataclass(frozen=True, kw_only=True)
class VisPruner16xBudget(VisPrunerBudget):
    """The 16x setting of the VISOR paper's table S3."""

    paper: ClassVar[tuple[int, int]] = (34, 12)  # round(729 / 16) = 46 tokens, int(46 * 0.75) of them important
