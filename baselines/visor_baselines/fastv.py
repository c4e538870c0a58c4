"""FastV (Chen et al., ECCV 2024): after K layers keep the vision tokens that the last token attends to.

arXiv:2403.06764. Behaviour of pkunlp-icler/FastV at d165972 (no licence file at its root; its vendored trees are
Apache-2.0), cached path of the llava-hf fork, written anew from docs/spec/decoder_methods.md section 3.

Deviations: at least one token stays; vision tokens of several images are ranked together (authors: one contiguous
span); any batch; equal scores go to the lower index; the attention row is computed from the layer's query and its
cached keys in float32. The paper speaks of the average attention of all tokens; the code takes the last token's row,
and so does this.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from visor_baselines.budgets.fastv import FastVBudget
from visor_eval.core.pruning import Boundary, Positions, Pruned, keep_all
from visor_eval.core.token_ops import top_k_sorted
from visor_eval.cost.budgets import Cut


@dataclass(frozen=True, kw_only=True)
class FastV(FastVBudget):
    """Remove a share of the vision tokens, once; positions are preserved."""

    positions: ClassVar[Positions] = "preserve"

    def prune(self, view: Boundary) -> Pruned:
        """Keep the ``round(n * (1 - r))`` tokens (half to even) with the largest scores."""
        kept = self.cut(view).kept
        if kept >= view.vision_tokens:
            return keep_all(view)
        return Pruned(keep=top_k_sorted(self.scores(view), kept))

    def scores(self, view: Boundary) -> Tensor:
        """Head-mean probability of each vision token in the last token's row [tokens]."""
        return view.attention_rows(view.last).mean(dim=0)[0, view.vision]

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """One attention row on cached keys."""
        return self.scoring_flops(view, Cut(len(pruned.keep)))
