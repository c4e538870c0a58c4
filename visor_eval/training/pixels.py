"""Images whose sides are multiples of a tile -> pixel tiles and packed vision tokens, a whole batch at once.

The same numbers as the stock processor and ``pack_image_features`` give (tests/training proves it), for the case that
needs no padding: sub-tiles are exact crops, the thumbnail is the processor's own resize.
"""

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from visor_eval.training.family import SIDE, TILE


def tiles(images: Tensor) -> Tensor:
    """AnyRes tiles of same-sized images, thumbnail first.

    Args:
        images: uint8 [images, 3, height, width], both sides multiples of 56 px.

    Returns:
        Normalised pixels [images, 1 + rows * columns, 3, 56, 56].

    Raises:
        ValueError: a side is no multiple of a tile.
    """
    count, channels, height, width = images.shape
    if height % TILE or width % TILE:
        raise ValueError(f"training images must be multiples of {TILE} px, got {height} x {width}")
    rows, columns = height // TILE, width // TILE
    thumbnail = images
    if (rows, columns) != (1, 1):
        thumbnail = tv.resize(images, [TILE, TILE], interpolation=tv.InterpolationMode.BICUBIC, antialias=True)
    crops = images.view(count, channels, rows, TILE, columns, TILE).permute(0, 2, 4, 1, 3, 5)
    crops = crops.reshape(count, rows * columns, channels, TILE, TILE)
    return torch.cat((thumbnail[:, None], crops), dim=1).float().div(127.5).sub(1.0)


def pack(features: Tensor, newline: Tensor, rows: int, columns: int) -> Tensor:
    """Tile features -> vision tokens in AnyRes order: thumbnail, canvas rows each followed by a newline.

    Args:
        features: [images, 1 + rows * columns, patches, hidden].
        newline: the newline embedding [hidden].
        rows: tile rows of the canvas.
        columns: tile columns of the canvas.

    Returns:
        [images, patches + (rows * 7) * (columns * 7 + 1), hidden].
    """
    count, _, _, width = features.shape
    canvas = features[:, 1:].view(count, rows, columns, SIDE, SIDE, width).transpose(2, 3)
    canvas = canvas.reshape(count, rows * SIDE, columns * SIDE, width)
    ends = newline.expand(count, rows * SIDE, 1, width)
    return torch.cat((features[:, 0], torch.cat((canvas, ends), dim=2).flatten(1, 2)), dim=1)


def vision_length(height: int, width: int) -> int:
    """Vision tokens of an image of this size in pixels, newlines included."""
    rows, columns = height // TILE, width // TILE
    return SIDE * SIDE + rows * SIDE * (columns * SIDE + 1)
