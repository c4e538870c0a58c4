"""Token packing (VISOR-TR): the tower's patch grid, interpolated to fewer tokens before the projector.

Supplement S9: a factor of 1/sqrt(2) per side halves the tokens, 27 x 27 -> 19 x 19. The text also speaks of a
space-to-depth step. The default here is plain interpolation, which adds no parameter; ``space_to_depth`` gathers each
2 x 2 block into one token of four times the width and needs a projector that was built for it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F

from visor_eval.core.tokens import Need, VisionTokens


@dataclass(frozen=True, kw_only=True)
class TokenPacking:
    """Pack about ``factor`` vision tokens into one."""

    factor: float = 2.0
    mode: Literal["interpolate", "space_to_depth"] = "interpolate"

    needs: ClassVar[frozenset[Need]] = frozenset()
    after_projector: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Reject factors that would add tokens."""
        if self.factor < 1:
            raise ValueError(f"packing factor must be at least 1, got {self.factor}")

    @property
    def nominal_factor(self) -> float:
        """What the `paper` accounting divides by: the paper counts exactly 2 for 19 x 19 of 27 x 27."""
        return self.factor

    def packed_shape(self, tile_shape: tuple[int, int]) -> tuple[int, int]:
        """Tokens per tile after packing (27 x 27: 19 x 19 at factor 2, 14 x 14 at factor 4)."""
        rows, cols = (max(1, round(side / self.factor**0.5)) for side in tile_shape)
        return rows, cols

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """[tiles, rows * cols, dim] -> [tiles, packed rows * packed cols, dim or 4 * dim]."""
        rows, cols = self.packed_shape(tokens.tile_shape)
        if (rows, cols) == tokens.tile_shape and self.mode == "interpolate":
            return tokens
        grid = tokens.features.unflatten(1, tokens.tile_shape).permute(0, 3, 1, 2)  # [tiles, dim, rows, cols]
        if self.mode == "space_to_depth":
            grid = F.interpolate(grid.float(), (2 * rows, 2 * cols), mode="bilinear").to(grid.dtype)
            grid = F.pixel_unshuffle(grid, 2)
        else:
            grid = F.interpolate(grid.float(), (rows, cols), mode="bilinear").to(grid.dtype)
        return tokens.on_grid(grid.flatten(2).transpose(1, 2), (rows, cols))

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Interpolation has no matrix product."""
        return 0
