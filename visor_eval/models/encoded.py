"""The vision tokens of a sample as they enter the decoder, with the counts that their cost follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from visor_eval.core.tokens import AnyTokens


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """One image."""

    sequence: Tensor  # [length, dim], newlines included
    tiles: int  # that the tower ran on
    projector_tokens: int  # that the projector ran on
    left_tokens: int  # after all reducers, newlines and unpadding aside
    reducer_flops: int  # capture and reduction

    @classmethod
    def of(cls, *, left: AnyTokens, **fields: object) -> EncodedImage:
        """From the tokens that the reducers left."""
        return cls(left_tokens=left.num_tokens, **fields)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class EncodedImages:
    """All images of one sample."""

    sequences: tuple[Tensor, ...]  # one per image [length, dim]
    tiles: int
    projector_tokens: int
    tile_tokens: float  # vision tokens left per tile, for the `paper` accounting; 0 without an image
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
