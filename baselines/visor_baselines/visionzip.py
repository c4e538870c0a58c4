"""VisionZip (Yang et al., CVPR 2025): the tokens that receive most attention stay, the rest is merged into a few.

arXiv:2412.04467. Behaviour of dvlab-research/VisionZip at 3151f6d (Apache-2.0), written anew from
docs/spec/encoder_methods.md section 1. 104 + 24 tokens per tile as in the VISOR paper (S12).

VisionZip-dagger is the same reduction on a checkpoint whose projector was tuned with it: `--pretrained` must name it.

Deviations: attention received from all patches instead of [CLS] attention, which SigLIP lacks, of the last used
block; float32 and stable ties; a zero key is similar to nothing (authors: NaN); budgets that leave nothing to merge
are allowed (authors: an error). Where paper and code differ, the code is followed; `merge="average"` is the paper's
Algorithm 2.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from visor_baselines.budgets.visionzip import VisionZipBudget
from visor_eval.core.similarity import cosine_similarity
from visor_eval.core.token_ops import captured, complement, take, top_k_sorted
from visor_eval.core.tokens import ReducedTokens, VisionTokens

Merge = Literal["add_mean", "average"]


@dataclass(frozen=True, kw_only=True)
class VisionZip(VisionZipBudget):
    """Reduce every tile to dominant and contextual tokens."""

    merge: Merge = "add_mean"  # code: target + mean of the merged; paper: "average" over target and merged

    def __post_init__(self) -> None:
        """Reject unknown rules."""
        if self.merge not in ("add_mean", "average"):
            raise ValueError(f"merge must be add_mean or average, got {self.merge!r}")

    def reduce(self, tokens: VisionTokens) -> ReducedTokens:
        """[tiles, tokens, dim] -> packed [tiles * (dominant + contextual), dim]."""
        count, contextual = self.budget(tokens.num_patches)
        dominant = top_k_sorted(captured(tokens, "scores"), count)
        rest = complement(dominant, tokens.num_patches)  # ascending
        groups = assign(take(captured(tokens, "keys"), rest), contextual)
        merged = self._merged(take(tokens.features, rest).float(), groups)
        targets = rest[:, _targets(rest.shape[1], contextual).to(rest.device)]
        return ReducedTokens.pack(
            tokens,
            torch.cat([take(tokens.features, dominant), merged.to(tokens.features.dtype)], dim=1),
            position=torch.cat([dominant, targets], dim=1),
            merged=torch.arange(count + contextual, device=rest.device) >= count,
        )

    def _merged(self, rest: Tensor, groups: Tensor) -> Tensor:
        """One token per group of leftovers [tiles, leftovers, dim] -> [tiles, contextual, dim]."""
        contextual = groups.shape[-1]
        ranks = _targets(rest.shape[1], contextual).to(rest.device)
        joined = groups.index_fill(1, ranks, 0.0)  # leftovers that are no target
        size = joined.sum(dim=1)[..., None]  # [tiles, contextual, 1]
        total = torch.stack([group.T @ tile for group, tile in zip(joined, rest, strict=True)])
        if self.merge == "average":
            return (rest[:, ranks] + total) / (1 + size)
        return rest[:, ranks] + total / size.clamp_min(1)


@dataclass(frozen=True, kw_only=True)
class VisionZipDagger(VisionZip):
    """VisionZip on a model whose projector was tuned with it (the authors' double dagger)."""

    tuned_with: ClassVar[str] = "a checkpoint whose projector was tuned with VisionZip"
    checkpoint: ClassVar[str] = "visionzip-dagger-tiny"


def assign(keys: Tensor, groups: int) -> Tensor:
    """Which target each leftover goes to, by the cosine of their keys; a target goes to itself.

    Returns:
        One-hot rows [tiles, leftovers, groups], float32. The first of equally similar targets wins.
    """
    leftovers = keys.shape[1]
    if not groups:
        return keys.new_zeros(len(keys), leftovers, 0, dtype=torch.float32)
    ranks = _targets(leftovers, groups).to(keys.device)
    nearest = cosine_similarity(keys, keys[:, ranks]).argmax(dim=-1)
    nearest[:, ranks] = torch.arange(groups, device=keys.device)
    return torch.nn.functional.one_hot(nearest, groups).float()


def _targets(leftovers: int, groups: int) -> Tensor:
    """Ranks of the targets: every stride-th leftover, the tail never (official code; the paper says uniform)."""
    return torch.arange(groups) * max(1, leftovers // max(1, groups))
