"""From tiles to the token sequence of one image: thumbnail, then the canvas row by row, a newline after each row.

The order is LLaVA-OneVision's (AnyRes with ``anyres_max_N``), as transformers 5 builds it; a test compares the two. It
is written anew because transformers' own function assumes that every token of square tiles is there, which packing,
pooling and selection leave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from visor_eval.core.tokens import ReducedTokens, VisionTokens

SHRINK_ABOVE = 1.1  # the canvas shrinks when its side exceeds this times that of max_tiles tiles (LLaVA-OneVision)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the tokens of one image follow each other; the default is what the backbone was trained with.

    The authors' own codes of the reducers use no newlines (``none``), and only some of them cut the padding.
    """

    newline: Literal["per_row", "none"] = "per_row"
    unpad: bool = True

    def __post_init__(self) -> None:
        """Reject unknown policies."""
        if self.newline not in ("per_row", "none"):
            raise ValueError(f"newline must be per_row or none, got {self.newline!r}")


TRAINED = Layout()


def lay_out(tokens: VisionTokens | ReducedTokens, newline: Tensor, max_tiles: int, layout: Layout = TRAINED) -> Tensor:
    """Tokens of one image -> its sequence [length, dim].

    Args:
        tokens: features after the projector.
        newline: the learned newline embedding [dim].
        max_tiles: N of ``anyres_max_N``: larger canvases are shrunk (complete grids only; a selection is never
            interpolated).
        layout: newlines and padding.
    """
    if isinstance(tokens, ReducedTokens):
        return _lay_out_packed(tokens, newline, layout)
    end = newline[None] if layout.newline == "per_row" else newline[:0].reshape(0, len(newline))
    if tokens.grid is None:
        return torch.cat([tokens.features[0], end])
    canvas = _stitch(tokens.features[1:], tokens.grid, tokens.tile_shape)
    if layout.unpad:
        canvas = _unpad(canvas, tokens.image_size, tokens.grid)
    canvas = _shrink(canvas, tokens.tile_shape, max_tiles)
    if layout.newline == "per_row":
        canvas = torch.cat([canvas, newline[:, None, None].expand(-1, canvas.shape[1], 1)], dim=-1)
    return torch.cat([tokens.features[0], canvas.flatten(1).T])


def packed_order(tokens: ReducedTokens, layout: Layout = TRAINED) -> Tensor:
    """Indices into the packed tokens in sequence order; -1 stands for a newline [length].

    Thumbnail (kept tokens in raster order, then merged ones), then the kept tokens of all sub-tiles in raster order
    over the whole canvas, then the merged ones tile by tile.
    """
    thumbnail = tokens.tile == 0
    order = [_sorted(thumbnail & ~tokens.merged, tokens.position), _sorted(thumbnail & tokens.merged, None)]
    newline = tokens.tile.new_full((1,), -1)
    if tokens.source.grid is None:
        order += [newline] if layout.newline == "per_row" else []
    else:
        order += [_canvas_order(tokens, layout), _sorted(~thumbnail & tokens.merged, tokens.tile)]
    return torch.cat(order)


def _lay_out_packed(tokens: ReducedTokens, newline: Tensor, layout: Layout) -> Tensor:
    order = packed_order(tokens, layout)
    return torch.cat([tokens.features, newline[None]])[order]  # -1 is the row behind the last token: the newline


def _canvas_order(tokens: ReducedTokens, layout: Layout) -> Tensor:
    """Kept tokens of the sub-tiles in raster order over the canvas, newlines included."""
    source, kept = tokens.source, ((tokens.tile > 0) & ~tokens.merged).nonzero().flatten()
    assert source.grid is not None
    tiles = tokens.tile.new_full((source.grid[0] * source.grid[1], source.num_patches, 1), -1)
    tiles[tokens.tile[kept] - 1, tokens.position[kept], 0] = kept
    canvas = _stitch(tiles, source.grid, source.tile_shape)
    if layout.unpad:
        canvas = _unpad(canvas, source.image_size, source.grid)
    rows = canvas[0]
    if layout.newline == "none":
        return rows[rows >= 0]
    newline = rows.new_full((len(rows), 1), -1)
    real = torch.cat([rows >= 0, torch.ones_like(newline, dtype=torch.bool)], dim=1)
    return torch.cat([rows, newline], dim=1)[real]


def _sorted(where: Tensor, by: Tensor | None) -> Tensor:
    index = where.nonzero().flatten()
    return index if by is None else index[by[index].argsort(stable=True)]


def _stitch(tiles: Tensor, grid: tuple[int, int], tile_shape: tuple[int, int]) -> Tensor:
    """Sub-tiles [tiles, tokens, dim] -> canvas [dim, grid_rows * tile_rows, grid_cols * tile_cols]."""
    apart = tiles.unflatten(0, grid).unflatten(2, tile_shape)  # [R, C, rows, cols, dim]
    return apart.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)


def _unpad(canvas: Tensor, image_size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Cut the rows or columns of a canvas [dim, rows, cols] that show the padding around the image.

    transformers compares the aspect ratios of image and token canvas; that of the tiles is the same for square token
    grids, and right for others too.
    """
    (height, width), (rows, cols) = image_size, canvas.shape[1:]
    if width * grid[0] > height * grid[1]:
        cut = (rows - int(round(height * grid[1] * rows / (width * grid[0]), 7))) // 2
        return canvas[:, cut : rows - cut]
    cut = (cols - int(round(width * grid[0] * cols / (height * grid[1]), 7))) // 2
    return canvas[:, :, cut : cols - cut]


def _shrink(canvas: Tensor, tile_shape: tuple[int, int], max_tiles: int) -> Tensor:
    rows, cols = canvas.shape[1:]
    ratio = math.sqrt(rows * cols / (max_tiles * tile_shape[0] * tile_shape[1]))
    if ratio <= SHRINK_ABOVE:
        return canvas
    return F.interpolate(canvas[None], [int(rows // ratio), int(cols // ratio)], mode="bilinear")[0]
