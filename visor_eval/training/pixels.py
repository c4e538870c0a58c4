"""Images -> pixel tiles, a whole batch at once.

Any model's images can be cut by its own processor. For the embedded family's, whose sides are multiples of a tile, the
same numbers are there much sooner (tests/training proves it): sub-tiles are exact crops, the thumbnail is the
processor's own resize.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv
from transformers import LlavaOnevisionImageProcessor
from transformers.image_processing_utils import select_best_resolution

from visor_eval.training.family import SIDE, TILE


class Tiled(NamedTuple):
    """Same-sized images in tiles."""

    pixels: Tensor  # normalised, thumbnail first [images, 1 + rows * columns, 3, side, side]
    rows: int  # tile rows of the canvas
    columns: int  # tile columns of the canvas


Tiler = Callable[[Tensor], Tiled]  # of same-sized images, uint8 [images, 3, height, width]


def tiler_of(processor: LlavaOnevisionImageProcessor) -> Tiler:
    """How a model's images are cut: by ``tiles`` where it has the embedded family's tiles, else by ``processor``."""
    return embedded if tile_of(processor) == TILE else partial(stock, processor)


def tile_of(processor: LlavaOnevisionImageProcessor) -> int:
    """Side of a tile in pixels."""
    return int(processor.size["height"])


def embedded(images: Tensor) -> Tiled:
    """Tiles of 56 px of images whose sides are multiples of that."""
    return Tiled(tiles(images), images.shape[2] // TILE, images.shape[3] // TILE)


def stock(processor: LlavaOnevisionImageProcessor, images: Tensor) -> Tiled:
    """Tiles as the model's own processor cuts them."""
    height, width = images.shape[2:]
    canvas = select_best_resolution((height, width), processor.image_grid_pinpoints)
    pixels = processor([[image] for image in images], return_tensors="pt")["pixel_values"]  # type: ignore[arg-type]
    side = tile_of(processor)
    return Tiled(pixels, canvas[0] // side, canvas[1] // side)


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


def vision_length(height: int, width: int) -> int:
    """Vision tokens of an image of this size in pixels, newlines included."""
    rows, columns = height // TILE, width // TILE
    return SIDE * SIDE + rows * SIDE * (columns * SIDE + 1)
