"""Downsample: every tile's feature map shrunk bilinearly after the projector.

The control of VTC-Bench (Liao et al., arXiv:2510.07143), whose code (Chenfei-Liao/VTC-Bench at 983e443, Apache-2.0)
has it for Qwen2-VL images only: `downsample-image` is that one. On LLaVA-OneVision a smaller image changes the number
of tiles, not the tokens of a tile, so a fixed saving needs this: 27 x 27 -> 13 x 14, the printed 4x
(docs/spec/encoder_methods.md section 5, reading B; bilinear without antialiasing after the projector, as
LLaVA-OneVision pools its own video frames). No official code exists for it.
"""

from dataclasses import dataclass

import torch.nn.functional as F

from visor_baselines.budgets.downsample import DownsampleBudget
from visor_eval.core.grids import near_square_grid
from visor_eval.core.tokens import VisionTokens


@dataclass(frozen=True, kw_only=True)
class Downsample(DownsampleBudget):
    """Shrink every tile to about 1/``factor`` of its tokens."""

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """[tiles, rows * cols, dim] -> [tiles, fewer rows * fewer cols, dim]."""
        shape = near_square_grid(tokens.tile_shape, self.factor)
        grid = tokens.features.float().transpose(1, 2).unflatten(2, tokens.tile_shape)  # [tiles, dim, rows, cols]
        small = F.interpolate(grid, shape, mode="bilinear")
        return tokens.on_grid(small.flatten(2).transpose(1, 2).to(tokens.features.dtype), shape)
