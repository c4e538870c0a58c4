"""Random keep: a control that any method which looks at the image should beat.

No paper: ours. 128 of a 729-token tile, as many as VisionZip and VisPruner keep. The draw follows from `seed` and the
picture's pixels, never from a global generator, the batch or the rounding of features: a picture keeps the same
positions alone, in a batch, resumed, and in any precision, and another picture of its size keeps others.
"""

import zlib
from dataclasses import dataclass

import torch

from visor_baselines.budgets.random_keep import RandomKeepBudget
from visor_eval.core.token_ops import mask_of, top_k_sorted
from visor_eval.core.tokens import ReducedTokens, VisionTokens


@dataclass(frozen=True, kw_only=True)
class RandomKeep(RandomKeepBudget):
    """Keep as many tokens of each tile, anywhere."""

    seed: int = 0

    def reduce(self, tokens: VisionTokens) -> ReducedTokens:
        """[tiles, tokens, dim] -> packed [tiles * kept, dim]."""
        (count,) = self.budget(tokens.num_patches)
        if tokens.fingerprint is None:
            raise ValueError("these tokens carry no 'fingerprint', which the draw follows from")
        key = repr((self.seed, tokens.fingerprint, tokens.grid, tokens.tile_shape))
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        noise = torch.rand(tokens.num_tiles, tokens.num_patches, generator=generator)
        kept = top_k_sorted(noise, count).to(tokens.features.device)
        return ReducedTokens.select(tokens, mask_of(kept, tokens.num_patches))
