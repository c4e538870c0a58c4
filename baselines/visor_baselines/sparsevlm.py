"""SparseVLM (Zhang et al., ICML 2025): text tokens that relate to the image rate its tokens.

arXiv:2410.04417. Behaviour of the v1.x path of Gumpest/SparseVLMs at 26a5f48 (Apache-2.0), ``rule="rank"`` that of
its first release 91fb6d9, written anew from docs/spec/decoder_methods.md section 2. Raters are the text tokens after
the image whose share of softmax(vision x text), on input embeddings, is above the mean. After each pruning layer
their rows of its attention, averaged, rank the vision tokens; the best of the pruned ones are clustered and come back
as means behind the last vision token. Positions are renumbered.

Schedule and settings: budgets/sparsevlm.py.

Deviations: a stage whose budget covers all tokens does nothing (authors: one goes at least, ``always_prune=True``);
where no text token stands out all of them rate (authors: NaN); clustering without noise, which is what the authors'
half-precision runs compute; raters stand behind the last image, and the vision tokens of several images are ranked
together (authors: a second image is text); any batch; at least one token stays; equal scores go to the lower index;
scores in float32. S12 takes raters from attention maps and the count from the rank; the code uses embeddings and fixed
tables, and so does this. SparseVLM+ (v2.0) is not included.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from visor_baselines.budgets.sparsevlm import SparseVLMBudget
from visor_eval.core.clustering import recycle
from visor_eval.core.pruning import Boundary, Positions, Pruned, keep_all
from visor_eval.core.token_ops import top_k_sorted

RATERS_AT_ONCE = 64  # bounds the attention rows held: heads x 64 x length


@dataclass(frozen=True, kw_only=True)
class SparseVLM(SparseVLMBudget):
    """Prune by the raters' attention at three layers and recycle a part; positions are renumbered."""

    positions: ClassVar[Positions] = "renumber"

    def prune(self, view: Boundary) -> Pruned:
        """Keep the best rated tokens and recycle some of the others."""
        count = None if self.rule == "rank" else self.cut(view).kept
        if count is not None and count >= view.vision_tokens:
            return keep_all(view)
        rated = self.rated(view)
        if count is None:
            count = self._count_by_rank(rated)
            if count >= view.vision_tokens:
                return keep_all(view)
        scores = rated.mean(dim=0)
        keep = top_k_sorted(scores, count)
        return Pruned(keep=keep, extra=recycle(view.after[view.vision], scores, keep))

    def rated(self, view: Boundary) -> Tensor:
        """Head-mean probability of each vision token in each rater's row [raters, tokens]; its mean is the score."""
        places = (view.length - _raters(view).from_end).split(RATERS_AT_ONCE)
        return torch.cat([view.attention_rows(rows).mean(dim=0)[:, view.vision] for rows in places])

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """As ``scoring_flops``, with the raters that were found."""
        raters = cast("Raters | None", view.memory.get("raters"))
        if raters is None:
            return 0
        asked = raters.asked if raters.stage == view.stage else 0
        return self.rating_flops(view, len(pruned.keep), raters=len(raters.from_end), asked=asked)

    def _count_by_rank(self, rated: Tensor) -> int:
        """The first release's rule on [raters, tokens]."""
        rank = int(torch.linalg.matrix_rank(rated))
        tokens = rated.shape[1]
        return tokens if rank == tokens else self.limited(int(rank * self.scale + self.bias), tokens)


@dataclass(frozen=True, kw_only=True)
class Raters:
    """The text tokens that rate; text behind the images keeps its distance from the end."""

    from_end: Tensor  # 1: the last token of the sequence [raters]
    asked: int  # text tokens that were considered
    stage: int  # at which they were found


def relevance(vision: Tensor, text: Tensor) -> Tensor:
    """What share of the vision tokens' interest each text token has: [vision, dim], [text, dim] -> [text], float32."""
    return (vision.float() @ text.float().T).softmax(dim=-1).mean(dim=0)


def above_mean(shares: Tensor) -> Tensor:
    """Indices of the text tokens that rate; all of them where none stands out."""
    chosen = (shares > shares.mean()).nonzero().flatten()
    return chosen if len(chosen) else torch.arange(len(shares), device=shares.device)


def _raters(view: Boundary) -> Raters:
    if "raters" not in view.memory:
        vision = view.embeddings_vision
        start = int(vision.nonzero()[-1]) + 1  # behind the last image
        start = min(start, len(vision) - 1)  # a prompt that ends with its image: its last token rates
        shares = relevance(view.embeddings[vision], view.embeddings[start:])
        asked = len(vision) - start
        view.memory["raters"] = Raters(from_end=asked - above_mean(shares), asked=asked, stage=view.stage)
    return cast("Raters", view.memory["raters"])
