"""M3, Matryoshka Multimodal Models (Cai et al., ICLR 2025): every tile average-pooled to a coarser grid.

arXiv:2405.17430. Behaviour of mu-cai/matryoshka-mm at ec30cd3 (Apache-2.0), written anew from
docs/spec/encoder_methods.md section 4. Without training for it, pooling is far below the trained M3 (its issue 2):
the weights make the method.

Deviations: pooling is adaptive, to the near-square grid nearest to 1/factor of the tokens (27 x 27: 13 x 14, 9 x 10,
7 x 7 for 4, 8, 16), because the authors' kernel int(sqrt(tokens / target)) drops the border of 27 x 27 and gives
factor 8 the tokens of factor 4; `pooling="kernel"` is theirs. Means are taken in float32. The code pools after the
projector and the paper before it: `after_projector=False`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from visor_baselines.budgets.m3 import M3Budget
from visor_eval.core.grids import near_square_grid
from visor_eval.core.tokens import VisionTokens


@dataclass(frozen=True, kw_only=True)
class M3(M3Budget):
    """Pool every tile to about 1/``factor`` of its tokens."""

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """[tiles, rows * cols, dim] -> [tiles, pooled rows * pooled cols, dim]."""
        grid = tokens.features.float().transpose(1, 2).unflatten(2, tokens.tile_shape)  # [tiles, dim, rows, cols]
        pooled = self._pool(grid)
        shape = (pooled.shape[2], pooled.shape[3])
        return tokens.on_grid(pooled.flatten(2).transpose(1, 2).to(tokens.features.dtype), shape)

    def _pool(self, grid: Tensor) -> Tensor:
        shape = (grid.shape[2], grid.shape[3])
        if self.pooling == "adaptive":
            return F.adaptive_avg_pool2d(grid, near_square_grid(shape, self.factor))
        return F.avg_pool2d(grid, self.kernel(shape))


@dataclass(frozen=True, kw_only=True)
class M3Trained(M3):
    """M3 as its authors mean it: on a model that was trained on all its scales."""

    tuned_with: ClassVar[str] = "a checkpoint that was trained on M3's scales"
    checkpoint: ClassVar[str] = "m3-tiny"
