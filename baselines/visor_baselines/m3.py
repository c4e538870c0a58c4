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
from math import sqrt
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from visor_eval.core.grids import near_square_grid
from visor_eval.core.tokens import Need, VisionTokens


@dataclass(frozen=True, kw_only=True)
class M3:
    """Pool every tile to about 1/``factor`` of its tokens."""

    factor: float = 8.0  # of the VISOR paper's main table; its scales are 1, 4, 8, 16
    pooling: Literal["adaptive", "kernel"] = "adaptive"
    after_projector: bool = True  # as the authors' code; False: as their paper

    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        """Reject factors that would add tokens, and unknown rules."""
        near_square_grid((1, 1), self.factor)
        if self.pooling not in ("adaptive", "kernel"):
            raise ValueError(f"pooling must be adaptive or kernel, got {self.pooling!r}")

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """[tiles, rows * cols, dim] -> [tiles, pooled rows * pooled cols, dim]."""
        grid = tokens.features.float().transpose(1, 2).unflatten(2, tokens.tile_shape)  # [tiles, dim, rows, cols]
        pooled = self._pool(grid)
        shape = (pooled.shape[2], pooled.shape[3])
        return tokens.on_grid(pooled.flatten(2).transpose(1, 2).to(tokens.features.dtype), shape)

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Pooling is no matrix product."""
        return 0

    def _pool(self, grid: Tensor) -> Tensor:
        rows, cols = grid.shape[2:]
        if self.pooling == "adaptive":
            return F.adaptive_avg_pool2d(grid, near_square_grid((rows, cols), self.factor))
        target = max(1, int(rows * cols / self.factor))  # the authors' argument is a number of tokens
        return F.avg_pool2d(grid, min(int(sqrt(rows * cols / target)), rows, cols))
