"""VisPruner (Zhang et al., ICCV 2025): the most attended tokens stay, and of the others those least alike.

arXiv:2412.01818. Behaviour of Theia-4869/VisPruner at aefa01a (Apache-2.0), written anew from
docs/spec/encoder_methods.md section 2. 96 + 32 tokens per tile as in the VISOR paper (S12); 34 + 12 for its 16x (S6:
a 16th of 729 at 3:1).

Deviations: attention received from all patches instead of [CLS] attention, which SigLIP lacks, of the last used
block; an odd number of residual tokens, which the authors' code refuses with an IndexError, splits with the extra one
among the candidates; similarities are computed once and indexed in every round; float32 and stable ties; a zero
feature is similar to nothing (authors: NaN).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from visor_baselines.budgets.vispruner import VisPruner16xBudget, VisPrunerBudget
from visor_eval.core.similarity import cosine_similarity
from visor_eval.core.token_ops import by_score, captured, mask_of, take
from visor_eval.core.tokens import ReducedTokens, VisionTokens

PER_ROUND = 8  # tokens that a round removes at most; hard-coded in the authors' code


@dataclass(frozen=True, kw_only=True)
class VisPruner(VisPrunerBudget):
    """Reduce every tile to important and diverse tokens."""

    def reduce(self, tokens: VisionTokens) -> ReducedTokens:
        """[tiles, tokens, dim] -> packed [tiles * (important + diverse), dim]."""
        important, diverse = self.budget(tokens.num_patches)
        order = by_score(captured(tokens, "scores"))
        residual = order[:, important:]
        left = most_diverse(take(tokens.features, residual), diverse)
        kept = torch.cat([order[:, :important], residual.gather(1, left)], dim=1)
        return ReducedTokens.select(tokens, mask_of(kept, tokens.num_patches))


@dataclass(frozen=True, kw_only=True)
class VisPruner16x(VisPruner16xBudget, VisPruner):
    """VisPruner at 16x, as in the VISOR paper's table S3."""


@dataclass(frozen=True, kw_only=True)
class VisPrunerTrained(VisPruner):
    """VisPruner on a model that was trained with it."""

    tuned_with: ClassVar[str] = "a checkpoint that was trained with VisPruner"
    checkpoint: ClassVar[str] = "vispruner-tiny"


@dataclass(frozen=True, kw_only=True)
class VisPruner16xTrained(VisPruner16x):
    """VisPruner at 16x on a model that was trained with it: the "VisPruner train." of table S3."""

    tuned_with: ClassVar[str] = "a checkpoint that was trained with VisPruner at 16x"
    checkpoint: ClassVar[str] = "vispruner-16x-tiny"


def most_diverse(features: Tensor, count: int) -> Tensor:
    """Remove near duplicates in rounds until ``count`` tokens are left.

    Each round splits the tokens alternately into candidates and references, and drops the candidates most similar to a
    reference. The others go on in order of falling similarity, then the references: that order makes the next split.

    Args:
        features: [tiles, tokens, dim] in order of falling importance.
        count: tokens to keep.

    Returns:
        Their indices [tiles, count], in the order that the last round leaves.
    """
    tiles, tokens = features.shape[:2]
    if count in (0, tokens):
        return torch.arange(count, device=features.device).expand(tiles, -1)
    similarity = cosine_similarity(features, features).flatten(0, 1)  # a row per token of any tile: read whole, fast
    order = torch.arange(tiles * tokens, device=features.device).view(tiles, tokens)  # rows; places in `closest` too
    first = order[:, :1]
    while order.shape[1] > count:
        candidates, references = order[:, 0::2], order[:, 1::2]
        dropped = min(PER_ROUND, order.shape[1] - count, candidates.shape[1])
        rows = similarity.index_select(0, references.flatten()).unflatten(0, references.shape)
        closest = rows.amax(dim=1).take(candidates)  # of each candidate to any reference of its tile
        survivors = candidates.gather(1, by_score(closest)[:, dropped:])
        order = torch.cat([survivors, references], dim=1)
    return order - first
