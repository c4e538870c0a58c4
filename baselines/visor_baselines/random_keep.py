"""Random keep: a control that any method which looks at the image should beat.

No paper: ours. 128 of a 729-token tile, as many as VisionZip and VisPruner keep. The draw follows from `seed` and the
image's and tiles' sizes alone, never from a global generator, the batch or the rounding of features: a sample keeps
the same positions alone, in a batch, resumed, and in any precision. So images of one size share a draw: judge by
several seeds.
"""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from visor_baselines.budget import tile_budget
from visor_eval.core.token_ops import mask_of, top_k_sorted
from visor_eval.core.tokens import Need, ReducedTokens, VisionTokens


@dataclass(frozen=True, kw_only=True)
class RandomKeep:
    """Keep as many tokens of each tile, anywhere."""

    tokens: int | None = None  # per tile; None: 128 of 729
    seed: int = 0

    needs: ClassVar[frozenset[Need]] = frozenset()
    after_projector: ClassVar[bool] = False

    def reduce(self, tokens: VisionTokens) -> ReducedTokens:
        """[tiles, tokens, dim] -> packed [tiles * kept, dim]."""
        (count,) = tile_budget(tokens.num_patches, (self.tokens, 128))
        key = repr((self.seed, tokens.image_size, tokens.grid, tokens.tile_shape))
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        noise = torch.rand(tokens.num_tiles, tokens.num_patches, generator=generator)
        kept = top_k_sorted(noise, count).to(tokens.features.device)
        return ReducedTokens.select(tokens, mask_of(kept, tokens.num_patches))

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Nothing is multiplied."""
        return 0
