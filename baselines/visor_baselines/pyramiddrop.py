"""PyramidDrop (Xing et al., CVPR 2025): fewer vision tokens from stage to stage, ranked by the prompt's last token.

arXiv:2410.17247. Behaviour of Cooperx521/PyramidDrop at 6444f30 (MIT), inference, written anew from
docs/spec/decoder_methods.md section 1: at the end of a stage the next layer's own norm and projections give the
attention of the prompt's last token over all keys; the best ``int(N0 * ratio)`` vision tokens stay and positions are
renumbered.

Schedules and settings: budgets/pyramiddrop.py.

Deviations: keys are repeated for grouped-query attention and the projections' biases are used (the authors' code
knows neither); at least ``at_least`` = 1 token stays (authors: possibly none, ``at_least=0``); vision tokens of
several images are ranked together (authors: the first image only); any batch (authors: decode one sample at a time);
equal scores go to the lower index. S12 speaks of attention over vision tokens and the query's last token; the code
normalises over all keys and takes the last token of the whole prompt, and so does this.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from visor_baselines.budgets.pyramiddrop import PyramidDropBudget
from visor_eval.core.pruning import Boundary, Positions, Pruned, keep_all
from visor_eval.core.token_ops import top_k_sorted
from visor_eval.cost.budgets import Cut


@dataclass(frozen=True, kw_only=True)
class PyramidDrop(PyramidDropBudget):
    """Drop vision tokens at the end of each stage; positions are renumbered."""

    positions: ClassVar[Positions] = "renumber"

    def prune(self, view: Boundary) -> Pruned:
        """Keep the ``int(N0 * ratio)`` tokens with the largest scores."""
        kept = self.cut(view).kept
        if kept >= view.vision_tokens:
            return keep_all(view)
        return Pruned(keep=top_k_sorted(self.scores(view), kept))

    def scores(self, view: Boundary) -> Tensor:
        """Head-mean probability of each vision token in the last token's row of the next layer [tokens]."""
        return view.next_attention_rows(view.last).mean(dim=0)[0, view.vision]

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """One attention row, and the next layer's keys."""
        return self.scoring_flops(view, Cut(len(pruned.keep)))
