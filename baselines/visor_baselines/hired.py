"""HiRED (Arif et al., AAAI 2025): a budget for the whole image, shared among its tiles by early attention.

arXiv:2408.10945. Behaviour of hasanar1f/HiRED at 502d6dd (MIT), written anew from docs/spec/encoder_methods.md
section 3. 20 % and alpha 0.5 as in the VISOR paper (S12). The share is an upper bound: unpadding later removes chosen
tokens, and rounding down and clamping lose some, as in the authors' code.

Deviations: attention received from all patches instead of [CLS] attention, which SigLIP lacks; block 0 allocates and
the last used block selects; stable ties. A tile's share of the thumbnail is the region that it covers, as in the
paper; `mapping="strips"` is the authors' code, which gives tile t the t-th run of tokens and fails unless the tiles
divide them. `allocation="count"` (code) counts the region's tokens among the thumbnail's top, `"sum"` (paper) adds up
its attention. An image of one tile follows the authors' LLaVA-1.5 path. Shares are zero where no token counts
(authors: 0/0).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from visor_baselines.budgets.hired import HiREDBudget
from visor_eval.core.token_ops import captured, mask_of, top_counts, top_k_sorted
from visor_eval.core.tokens import ReducedTokens, VisionTokens


@dataclass(frozen=True, kw_only=True)
class HiRED(HiREDBudget):
    """Keep about ``rate`` of an image's tokens, more of them where its thumbnail draws attention."""

    allocation: Literal["count", "sum"] = "count"
    mapping: Literal["spatial", "strips"] = "spatial"

    def __post_init__(self) -> None:
        """Reject rates outside (0, 1], alphas outside [0, 1] and unknown rules."""
        super().__post_init__()
        if self.allocation not in ("count", "sum") or self.mapping not in ("spatial", "strips"):
            raise ValueError(
                f"allocation must be count or sum, mapping spatial or strips; got {self.allocation!r}, {self.mapping!r}"
            )

    def reduce(self, tokens: VisionTokens) -> ReducedTokens:
        """[tiles, tokens, dim] -> packed [kept, dim], a different number of each tile."""
        return ReducedTokens.select(tokens, top_counts(captured(tokens, "scores"), self.budgets(tokens)))

    def budgets(self, tokens: VisionTokens) -> Tensor:
        """Tokens to keep of each tile, thumbnail first [tiles]."""
        tiles, patches = tokens.num_tiles, tokens.num_patches
        scores = captured(tokens, "first_scores")
        if self.rate == 1:
            return torch.full((tiles,), patches, device=scores.device)
        if tokens.grid is None:
            return torch.tensor([self.single(patches)], device=scores.device)
        thumbnail, others = self.shared(tiles, patches)
        weights = self.weights(scores, tokens.tile_shape, tokens.grid)
        share = weights / weights.sum().clamp_min(torch.finfo(torch.float32).tiny)
        each = (share * others).long().clamp_max(patches)  # float32 product, rounded down, as the authors do
        return torch.cat([each.new_tensor([thumbnail]), each])

    def weights(self, scores: Tensor, tile_shape: tuple[int, int], grid: tuple[int, int]) -> Tensor:
        """What each sub-tile's part of the thumbnail weighs [sub-tiles], from its block-0 scores [tokens]."""
        if self.allocation == "count":
            top = top_k_sorted(scores[None], int(scores.numel() * (1 - self.alpha)))
            scores = mask_of(top, scores.numel())[0]
        covers = _spatial(tile_shape, grid) if self.mapping == "spatial" else _strips(scores.numel(), grid)
        tiles = torch.arange(grid[0] * grid[1], device=scores.device)
        return (scores.float() * (covers.to(scores.device) == tiles[:, None])).sum(dim=1)


def _spatial(tile_shape: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The sub-tile that covers each thumbnail token, padding ignored [tokens]."""
    rows, cols = (torch.arange(side) * tiles // side for side, tiles in zip(tile_shape, grid, strict=True))
    return (rows[:, None] * grid[1] + cols).flatten()


def _strips(tokens: int, grid: tuple[int, int]) -> Tensor:
    """Consecutive runs of the thumbnail's tokens [tokens]."""
    tiles = grid[0] * grid[1]
    if tokens % tiles:
        raise ValueError(
            f"mapping=strips needs a number of sub-tiles that divides the {tokens} tokens of a tile, "
            f"and this image has {grid[0]} x {grid[1]}: use mapping=spatial"
        )
    return torch.arange(tokens) // (tokens // tiles)
