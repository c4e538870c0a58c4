"""What HiRED keeps: at most 20 % of an image's tokens, half of them of its thumbnail (VISOR paper, S12)."""

from dataclasses import dataclass
from typing import ClassVar

from visor_eval.cost.budgets import Need, Selection, TileShape


@dataclass(frozen=True, kw_only=True)
class HiREDBudget:
    """A budget for the whole image, shared among its tiles by what each draws of the thumbnail's attention."""

    rate: float = 0.2  # of all tokens of the image; 1: keep all
    alpha: float = 0.5  # the thumbnail's share of them

    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "first_scores"})
    after_projector: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Reject rates outside (0, 1] and alphas outside [0, 1]."""
        if not 0 < self.rate <= 1 or not 0 <= self.alpha <= 1:
            raise ValueError(f"0 < rate <= 1 and 0 <= alpha <= 1 are allowed, got {self.rate} and {self.alpha}")

    def shared(self, tiles: int, tokens: int) -> tuple[int, int]:
        """Tokens for the thumbnail, and for all other tiles together, of an image of ``tiles`` x ``tokens``."""
        total = int(tiles * tokens * self.rate)
        thumbnail = min(int(total * self.alpha), tokens)
        return thumbnail, min(total - thumbnail, (tiles - 1) * tokens)

    def single(self, tokens: int) -> int:
        """Tokens of an image of one tile."""
        return tokens if self.rate == 1 else max(1, int(tokens * self.rate))

    def left(self, tiles: int, tile_shape: TileShape) -> Selection:
        """Equal shares for all tiles but the thumbnail; attention moves them, rounding down loses a few."""
        tokens = tile_shape[0] * tile_shape[1]
        if tiles == 1 or self.rate == 1:
            return Selection.per_tile(tiles, self.single(tokens))
        thumbnail, others = self.shared(tiles, tokens)
        each = min(others // (tiles - 1), tokens)
        return Selection((thumbnail, *(each,) * (tiles - 1)), (0,) * tiles, at_most=thumbnail + others)

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Nothing is multiplied."""
        return 0
