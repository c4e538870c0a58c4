"""Images on both sides of the vision tower: as tiles before it, as token sequences with their counts after it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TiledImage:
    """One image before the tower."""

    pixels: Tensor  # normalised, thumbnail first [tiles, 3, side, side]
    size: tuple[int, int]  # height, width of the original in pixels
    grid: tuple[int, int] | None  # tiles of the canvas: rows, columns; None: a single tile without a canvas

    @classmethod
    def of(cls, padded: Tensor, size: tuple[int, int], grid: tuple[int, int] | None) -> TiledImage:
        """From the processor's pixels, which may be padded with empty tiles [tiles or more, 3, side, side]."""
        tiles = 1 if grid is None else 1 + grid[0] * grid[1]
        return cls(pixels=padded[:tiles], size=size, grid=grid)

    @property
    def fingerprint(self) -> int:
        """A number that follows from the thumbnail's pixels and the image's size alone."""
        pixels = self.pixels[0].float().cpu().contiguous()
        return zlib.crc32(repr(self.size).encode(), zlib.crc32(pixels.numpy().tobytes()))


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """One image behind reducers and projector."""

    sequence: Tensor  # [length, dim], newlines included
    tiles: int  # that the tower ran on
    projector_tokens: int  # that the projector ran on
    left_tokens: int  # after all reducers, newlines and unpadding aside
    reducer_flops: int  # capture and reduction


@dataclass(frozen=True, kw_only=True)
class EncodedImages:
    """All images of one sample."""

    sequences: tuple[Tensor, ...]  # one per image [length, dim]
    tiles: int
    projector_tokens: int
    tile_tokens: float  # vision tokens left per tile, newlines aside; 0 without an image
    reducer_flops: int

    @classmethod
    def join(cls, images: Sequence[EncodedImage]) -> EncodedImages:
        """Add up."""
        tiles = sum(image.tiles for image in images)
        return cls(
            sequences=tuple(image.sequence for image in images),
            tiles=tiles,
            projector_tokens=sum(image.projector_tokens for image in images),
            tile_tokens=sum(image.left_tokens for image in images) / tiles if tiles else 0.0,
            reducer_flops=sum(image.reducer_flops for image in images),
        )
