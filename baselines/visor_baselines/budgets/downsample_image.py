"""What Downsample on the image keeps: all tokens of a smaller picture, which has fewer tiles."""

from dataclasses import dataclass
from typing import ClassVar

from visor_eval.cost.budgets import Need, TileShape


@dataclass(frozen=True, kw_only=True)
class DownsampleImageBudget:
    """The image is shrunk; its tokens are left alone."""

    ratio: int = 2  # of each side; VTC-Bench: 1, 2, 3, 4, 5, 10

    needs: ClassVar[frozenset[Need]] = frozenset()
    after_projector: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Reject ratios that would enlarge the image."""
        if not isinstance(self.ratio, int) or self.ratio < 1:
            raise ValueError(f"ratio must be an integer of at least 1, got {self.ratio!r}")

    def prepared_size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels of the image that is tiled instead.

        Raises:
            ValueError: nothing would be left of a side.
        """
        if min(height, width) < self.ratio:
            raise ValueError(f"a {width} x {height} image cannot shrink by {self.ratio}: lower ratio")
        return height // self.ratio, width // self.ratio

    def left(self, tiles: int, tile_shape: TileShape) -> TileShape:
        """The tiles as they are."""
        return tile_shape

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Resizing is no matrix product."""
        return 0
