"""SparseVLM (Zhang et al., ICML 2025): text tokens that relate to the image rate its tokens.

arXiv:2410.04417. Behaviour of the v1.x path of Gumpest/SparseVLMs at 26a5f48 (Apache-2.0), ``rule="rank"`` that of
its first release 91fb6d9, written anew from docs/spec/decoder_methods.md section 2. Raters are the text tokens after
the image whose share of softmax(vision x text), on input embeddings, is above the mean. After each pruning layer
their rows of its attention, averaged, rank the vision tokens; the best of the pruned ones are clustered and come back
as means behind the last vision token. Positions are renumbered.

Schedule: the authors' layers 2, 6, 15 of 32 (from 0) scale as ``round(l * L / 32)``; their tables for 576 tokens
become shares of N0, kept and reconstructed together. ``compat`` is their 128-token table: 4.5x by their own metric,
3.8x by what enters the layers; ``true-linear`` and ``true-flops`` reach 4.5x in tokens or FLOPs (at 196 tokens)
really seen.

Deviations: a stage whose budget covers all tokens does nothing (authors: one goes at least, ``always_prune=True``);
where no text token stands out all of them rate (authors: NaN); clustering without noise, which is what the authors'
half-precision runs compute; raters stand behind the last image, and the vision tokens of several images are ranked
together (authors: a second image is text); any batch; at least one token stays; equal scores go to the lower index;
scores in float32. S12 takes raters from attention maps and the count from the rank; the code uses embeddings and fixed
tables, and so does this. SparseVLM+ (v2.0) is not included.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from visor_eval.core.attention_rows import attention_rows_flops
from visor_eval.core.clustering import recycle, recycling_flops, recycling_sizes
from visor_eval.core.pruning import Boundary, Positions, Pruned, keep_all, within
from visor_eval.core.token_ops import top_k_sorted

LAYERS = {"table": (2, 6, 15), "rank": (2, 6, 15, 19)}  # of 32, from 0
TABLE_TOKENS = 576
TABLES = {  # kept and reconstructed tokens of 576 after each stage
    "keep192": (309, 204, 113),
    "compat": (312, 117, 39),
    "keep96": (249, 55, 27),
    "keep64": (82, 32, 18),
}
BETWEEN = {  # where a preset lies on the geometric line from `compat` (0) to `keep96` (1), by decoder layers
    "true-linear": {24: 0.755, 28: 0.593},
    "true-flops": {24: 0.671, 28: 0.515},
}
RATERS_AT_ONCE = 64  # bounds the attention rows held: heads x 64 x length


@dataclass(frozen=True, kw_only=True)
class SparseVLM:
    """Prune by the raters' attention at three layers and recycle a part; positions are renumbered."""

    preset: Literal["compat", "keep192", "keep96", "keep64", "true-linear", "true-flops"] = "compat"
    rule: Literal["table", "rank"] = "table"  # rank: keep int(rank * scale + bias), as the first release
    scale: float = 9.0
    bias: float = 6.0
    always_prune: bool = False  # the authors remove at least one token per stage
    layers: tuple[int, ...] | None = None  # prune after these layers, from 1; None: scaled from the authors'
    keep: tuple[int, ...] | None = None  # tokens kept at each of `layers`, reconstructed ones apart; None: the preset's

    positions: ClassVar[Positions] = "renumber"

    def __post_init__(self) -> None:
        """Reject values without a meaning."""
        presets = (*TABLES, *BETWEEN)
        if self.preset not in presets:
            raise ValueError(f"unknown preset {self.preset!r}; valid: {', '.join(presets)}")
        if self.rule not in LAYERS:
            raise ValueError(f"unknown rule {self.rule!r}; valid: {', '.join(LAYERS)}")
        if self.keep is not None and len(self.keep) != len(self.layers or ()):
            raise ValueError("keep gives one number for each of layers: give both, equally long")
        if self.layers is not None and self.keep is None and self.rule == "table" and len(self.layers) > 3:
            raise ValueError(f"a preset has three stages, got layers={self.layers}; give keep as well")

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """The pruning layers, the same for every task."""
        if self.layers is not None:
            return tuple(self.layers)
        return within([round(layer * layers / 32) + 1 for layer in LAYERS[self.rule]], layers)

    def shares(self, layers: int) -> tuple[float, ...]:
        """Kept and reconstructed tokens after each stage, as shares of N0.

        Raises:
            ValueError: the preset is not known for decoders of ``layers`` layers.
        """
        if self.preset in TABLES:
            return tuple(total / TABLE_TOKENS for total in TABLES[self.preset])
        if layers not in BETWEEN[self.preset]:
            raise ValueError(f"preset {self.preset!r} is known for 24 and 28 layers, not for {layers}; use 'compat'")
        way = BETWEEN[self.preset][layers]
        ends = zip(TABLES["compat"], TABLES["keep96"], strict=True)
        return tuple((start / TABLE_TOKENS) ** (1 - way) * (end / TABLE_TOKENS) ** way for start, end in ends)

    def prune(self, view: Boundary) -> Pruned:
        """Keep the best rated tokens and recycle some of the others."""
        count = None if self.rule == "rank" else self._count(view)
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
        """Raters, their attention rows on cached keys, and distances between candidates."""
        raters = cast("Raters | None", view.memory.get("raters"))
        removed = view.vision_tokens - len(pruned.keep)
        if raters is None or (not removed and self.rule == "table"):
            return 0
        rows = attention_rows_flops(view.decoder, queries=len(raters.from_end), keys=view.length, project_keys=False)
        found = 2 * view.initial_vision_tokens * raters.asked * view.decoder.hidden if raters.stage == view.stage else 0
        return found + rows + (recycling_flops(removed, view.decoder.hidden) if removed else 0)

    def _count(self, view: Boundary) -> int:
        """Tokens to keep by table; as many as there are: the stage does nothing."""
        tokens = view.vision_tokens
        if self.keep is not None:
            count = self.keep[view.stage]
        else:
            total = round(self.shares(view.decoder.layers)[view.stage] * view.initial_vision_tokens)
            count = kept_for_total(tokens, total)
        return self._limited(count, tokens)

    def _count_by_rank(self, rated: Tensor) -> int:
        """The first release's rule on [raters, tokens]."""
        rank = int(torch.linalg.matrix_rank(rated))
        tokens = rated.shape[1]
        return tokens if rank == tokens else self._limited(int(rank * self.scale + self.bias), tokens)

    def _limited(self, count: int, tokens: int) -> int:
        return max(1, min(count, tokens - 1 if self.always_prune else tokens))


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


def kept_for_total(tokens: int, total: int) -> int:
    """Tokens to keep so that kept and reconstructed ones are at most ``total``; ``tokens`` where nothing has to go."""
    if total >= tokens:
        return tokens
    count = min(total, tokens - 1)
    while count > 1 and count + recycling_sizes(tokens - count)[1] > total:
        count -= 1
    return count


def _raters(view: Boundary) -> Raters:
    if "raters" not in view.memory:
        vision = view.embeddings_vision
        start = int(vision.nonzero()[-1]) + 1  # behind the last image
        start = min(start, len(vision) - 1)  # a prompt that ends with its image: its last token rates
        shares = relevance(view.embeddings[vision], view.embeddings[start:])
        asked = len(vision) - start
        view.memory["raters"] = Raters(from_end=asked - above_mean(shares), asked=asked, stage=view.stage)
    return cast("Raters", view.memory["raters"])
