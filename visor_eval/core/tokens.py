"""Vision tokens of one image, between the vision tower and the decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from visor_eval.cost.budgets import Need


@dataclass(frozen=True, kw_only=True)
class VisionTokens:
    """Tokens of one image on complete tile grids; tile 0 is the thumbnail, the others follow row by row.

    What was captured (of the tower's last used block, whose output feeds the projector) is there only if a reducer
    asked for it, and so is the fingerprint.
    """

    features: Tensor  # [tiles, tile_rows * tile_cols, dim]
    tile_shape: tuple[int, int]  # tokens per tile: rows, columns
    grid: tuple[int, int] | None  # tiles of the canvas: rows, columns; None: a single tile without a canvas
    image_size: tuple[int, int]  # height, width of the original image in pixels
    scores: Tensor | None = None  # attention each token receives: mean over heads and queries, float32 [tiles, tokens]
    keys: Tensor | None = None  # mean over heads of k_proj's output, unscaled, float32 [tiles, tokens, head_dim]
    first_scores: Tensor | None = None  # as scores, of block 0, thumbnail only [tokens]
    fingerprint: int | None = None  # of the picture's pixels: equal for equal pictures, whatever runs beside them

    @property
    def num_tiles(self) -> int:
        """Tiles, the thumbnail included."""
        return self.features.shape[0]

    @property
    def num_patches(self) -> int:
        """Tokens per tile."""
        return self.features.shape[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of all tiles."""
        return self.num_tiles * self.num_patches

    def with_features(self, features: Tensor) -> VisionTokens:
        """The same tokens with other features [tiles * tokens, dim] (the projector's)."""
        return replace(self, features=features.unflatten(0, (self.num_tiles, self.num_patches)))

    def on_grid(self, features: Tensor, tile_shape: tuple[int, int]) -> VisionTokens:
        """The same image with features [tiles, rows * cols, dim] on another grid per tile.

        What was captured of the tower belongs to the old grid and is dropped if the grid changes.
        """
        if tile_shape == self.tile_shape:
            return replace(self, features=features)
        return replace(self, features=features, tile_shape=tile_shape, scores=None, keys=None, first_scores=None)


@dataclass(frozen=True, kw_only=True)
class ReducedTokens:
    """Some tokens of one image, packed: methods may keep a different number per tile."""

    features: Tensor  # [kept, dim]
    tile: Tensor  # tile of each token [kept]
    position: Tensor  # its place on the tile's grid (a merged token: that of its target) [kept]
    merged: Tensor  # True for tokens made of several: they stand behind the kept ones [kept]
    source: VisionTokens  # where they come from: grids and sizes

    @classmethod
    def select(cls, source: VisionTokens, keep: Tensor) -> ReducedTokens:
        """Tokens where ``keep`` [tiles, tokens] is True, unchanged."""
        tile, position = keep.nonzero(as_tuple=True)
        return cls(
            features=source.features[tile, position],
            tile=tile,
            position=position,
            merged=tile.new_zeros(len(tile), dtype=torch.bool),
            source=source,
        )

    @classmethod
    def pack(cls, source: VisionTokens, features: Tensor, position: Tensor, merged: Tensor) -> ReducedTokens:
        """The same number per tile: features [tiles, kept, dim], position [tiles, kept], merged [kept]."""
        tiles, kept = position.shape
        tile = position.new_tensor(range(tiles)).repeat_interleave(kept)
        return cls(
            features=features.flatten(0, 1),
            tile=tile,
            position=position.flatten(),
            merged=merged.repeat(tiles),
            source=source,
        )

    @property
    def num_tokens(self) -> int:
        """Kept tokens."""
        return len(self.tile)

    def with_features(self, features: Tensor) -> ReducedTokens:
        """The same tokens with other features [kept, dim] (the projector's)."""
        return replace(self, features=features)


AnyTokens = VisionTokens | ReducedTokens


class Reducer(Protocol):
    """Makes fewer (or other) vision tokens out of one image's tokens, before the decoder.

    Whether its result is still a complete grid is told by its type. The two properties may be class attributes, or
    fields where a setting decides.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads of an image besides features."""
        ...

    @property
    def after_projector(self) -> bool:
        """On which side of the projector it runs."""
        ...

    def reduce(self, tokens: VisionTokens) -> AnyTokens:
        """Return the tokens that go on."""
        ...

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Matrix-product FLOPs that ``reduce`` dispatches for one image of ``tiles`` x ``tokens`` (capture apart)."""
        ...
