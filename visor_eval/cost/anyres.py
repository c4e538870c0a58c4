"""How many tiles and vision tokens an image costs, from its size alone (LLaVA-OneVision's AnyRes).

A sample is a thumbnail tile and a canvas of tiles that fits the image best; the canvas is unpadded to the image's
aspect ratio, shrunk where it exceeds ``max_tiles`` tiles, and gets one newline token per row. Same arithmetic, float by
float, as transformers' processor (`_get_number_of_features`) and model (`pack_image_features`), which must agree.
"""

import math
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class AnyResCount:
    """What one image costs.

    Attributes:
        tiles: tiles for the vision tower, thumbnail included.
        thumbnail: vision tokens of the thumbnail.
        rows: rows of the kept canvas.
        columns: columns of the kept canvas.
        newlines: newline tokens (one per row, where newlines are used).
        grid: canvas in tiles, (rows, columns).
        shrunk: whether the canvas was interpolated down to ``max_tiles``.
    """

    tiles: int
    thumbnail: int
    rows: int
    columns: int
    newlines: int
    grid: tuple[int, int]
    shrunk: bool

    @property
    def vision_tokens(self) -> int:
        """All vision tokens that enter the dense decoder."""
        return self.thumbnail + self.rows * self.columns + self.newlines


@dataclass(frozen=True)
class AnyRes:
    """The AnyRes rule of one model.

    Attributes:
        tile_px: side of a tile in pixels.
        side: patches along one side of a tile.
        pinpoints: allowed canvases, (height, width) in pixels, in the processor's order (ties go to the first).
        max_tiles: canvases above about this many tiles are shrunk (the 9 of ``anyres_max_9``).
    """

    tile_px: int
    side: int
    pinpoints: tuple[tuple[int, int], ...]
    max_tiles: int = 9

    def __post_init__(self) -> None:
        """Reject rules without a canvas."""
        object.__setattr__(self, "pinpoints", tuple((int(h), int(w)) for h, w in self.pinpoints))
        if not self.pinpoints:
            raise ValueError("pinpoints must name at least one canvas")
        if min(self.tile_px, self.side, self.max_tiles) < 1:
            raise ValueError(f"tile_px, side and max_tiles must be positive, got {self}")
        small = [size for size in self.pinpoints if min(size) < self.tile_px]
        if small:
            raise ValueError(f"canvases smaller than a tile of {self.tile_px} px: {small}")

    @classmethod
    def square_grid(cls, tile_px: int, side: int, *, most: int = 6, max_tiles: int = 9) -> "AnyRes":
        """All canvases from 1 x 1 to ``most`` x ``most`` tiles; LLaVA-OneVision: ``square_grid(384, 27)``."""
        steps = range(1, most + 1)
        return cls(
            tile_px, side, tuple((tile_px * rows, tile_px * columns) for rows in steps for columns in steps), max_tiles
        )

    def count(
        self,
        height: int,
        width: int,
        *,
        newlines: bool = True,
        unpad: bool = True,
        tile_shape: tuple[int, int] | None = None,
        shrink: bool = True,
    ) -> AnyResCount:
        """Tiles and vision tokens of one image.

        Args:
            height: image height in pixels.
            width: image width in pixels.
            newlines: one newline token per canvas row, as the backbone was trained.
            unpad: cut the canvas to the image's aspect ratio, as the backbone was trained.
            tile_shape: tokens of a tile, rows and columns, where a method pools the grid; None: the model's own.
            shrink: interpolate a canvas above ``max_tiles``; selected tokens never are.
        """
        if height < 1 or width < 1:
            raise ValueError(f"image size must be positive, got {height} x {width}")
        canvas_height, canvas_width = self.canvas(height, width)
        grid = (canvas_height // self.tile_px, canvas_width // self.tile_px)
        tile_rows, tile_columns = (self.side, self.side) if tile_shape is None else tile_shape
        rows, columns = tile_rows * grid[0], tile_columns * grid[1]
        if unpad and tile_shape is None:
            rows, columns = _unpadded(height, width, rows, columns)
        elif unpad:
            rows, columns = _unpadded_tiles(height, width, rows, columns, grid)
        ratio = math.sqrt(rows * columns / (self.max_tiles * tile_rows * tile_columns))
        shrunk = shrink and ratio > 1.1
        if shrunk:
            rows, columns = int(rows // ratio), int(columns // ratio)
        return AnyResCount(
            tiles=1 + -(-canvas_height // self.tile_px) * -(-canvas_width // self.tile_px),
            thumbnail=tile_rows * tile_columns,
            rows=rows,
            columns=columns,
            newlines=rows if newlines else 0,
            grid=grid,
            shrunk=shrunk,
        )

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """The allowed canvas (height, width) that keeps most of the image's pixels and wastes the fewest."""
        return _best_canvas(self.pinpoints, height, width)


@lru_cache(maxsize=65_536)
def _best_canvas(pinpoints: tuple[tuple[int, int], ...], height: int, width: int) -> tuple[int, int]:
    best, best_kept, best_waste = pinpoints[0], 0, math.inf
    for canvas_height, canvas_width in pinpoints:
        scale = min(canvas_width / width, canvas_height / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        waste = canvas_height * canvas_width - kept
        if kept > best_kept or (kept == best_kept and waste < best_waste):
            best, best_kept, best_waste = (canvas_height, canvas_width), kept, waste
    return best


def _unpadded(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns that the image covers; the same number of rows (or columns) is cut on both sides."""
    if width / height > columns / rows:
        return rows - (rows - int(round(height * (columns / width), 7))) // 2 * 2, columns
    return rows, columns - (columns - int(round(width * (rows / height), 7))) // 2 * 2


def _unpadded_tiles(height: int, width: int, rows: int, columns: int, grid: tuple[int, int]) -> tuple[int, int]:
    """The same for tiles whose tokens are no squares, by the aspect ratio of the tiles (`models/layout.py`)."""
    if width * grid[0] > height * grid[1]:
        return rows - (rows - int(round(height * grid[1] * rows / (width * grid[0]), 7))) // 2 * 2, columns
    return rows, columns - (columns - int(round(width * grid[0] * columns / (height * grid[1]), 7))) // 2 * 2
