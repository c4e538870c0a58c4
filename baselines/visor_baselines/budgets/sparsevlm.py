"""What SparseVLM keeps and reconstructs at its three layers.

Schedule: the authors' layers 2, 6, 15 of 32 (from 0) scale as ``round(l * L / 32)``; their tables for 576 tokens become
shares of N0, kept and reconstructed together. ``compat`` is their 128-token table: 4.5x by their own metric, 3.8x by
what enters the layers; ``true-linear`` and ``true-flops`` reach 4.5x in tokens or FLOPs (at 196 tokens) really seen.
"""

from dataclasses import dataclass
from typing import Literal

from visor_eval.cost.budgets import Counts, Cut, PlannedCounts, within
from visor_eval.cost.scoring import attention_rows_flops, recycling_flops, recycling_sizes

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


@dataclass(frozen=True, kw_only=True)
class SparseVLMBudget:
    """Prune at three layers and recycle a part of what is pruned."""

    preset: Literal["compat", "keep192", "keep96", "keep64", "true-linear", "true-flops"] = "compat"
    rule: Literal["table", "rank"] = "table"  # rank: keep int(rank * scale + bias), as the first release
    scale: float = 9.0
    bias: float = 6.0
    always_prune: bool = False  # the authors remove at least one token per stage
    layers: tuple[int, ...] | None = None  # prune after these layers, from 1; None: scaled from the authors'
    keep: tuple[int, ...] | None = None  # tokens kept at each of `layers`, reconstructed ones apart; None: the preset's

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
        """The pruning layers, the same for every task.

        Raises:
            ValueError: the preset is not known for decoders of ``layers`` layers.
        """
        if self.rule == "table" and self.keep is None:
            self.shares(layers)
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

    def cut(self, at: Counts) -> Cut:
        """Tokens kept by table, and clusters of the others; as many as there are: the stage does nothing.

        Raises:
            ValueError: the rule is the rank, which only a run of the sample can tell.
        """
        if self.rule == "rank":
            raise ValueError("rule=rank keeps what the rank of the sample's attention says: it has no closed form")
        tokens = at.vision_tokens
        if self.keep is not None:
            count = self.keep[at.stage]
        else:
            count = kept_for_total(tokens, round(self.shares(at.decoder.layers)[at.stage] * at.initial_vision_tokens))
        count = self.limited(count, tokens)
        return Cut(count, recycling_sizes(tokens - count)[1] if count < tokens else 0)

    def scoring_flops(self, at: PlannedCounts, cut: Cut) -> int:
        """At most: as if all text behind the image rated."""
        text = max(1, at.text_behind)  # a prompt that ends with its image: its last token rates
        return self.rating_flops(at, cut.kept, raters=text, asked=text if at.stage == 0 else 0)

    def rating_flops(self, at: Counts, kept: int, *, raters: int, asked: int) -> int:
        """Raters, their attention rows on cached keys, and distances between candidates.

        Args:
            at: the stage.
            kept: tokens that stay, reconstructed ones apart.
            raters: text tokens that rate.
            asked: text tokens among which they were looked for at this stage; 0: they were known.
        """
        removed = at.vision_tokens - kept
        if not removed and self.rule == "table":
            return 0
        rows = attention_rows_flops(at.decoder, queries=raters, keys=at.length, project_keys=False)
        found = 2 * at.initial_vision_tokens * asked * at.decoder.hidden
        return found + rows + (recycling_flops(removed, at.decoder.hidden) if removed else 0)

    def limited(self, count: int, tokens: int) -> int:
        """``count`` within what ``tokens`` and ``always_prune`` allow."""
        return max(1, min(count, tokens - 1 if self.always_prune else tokens))


def kept_for_total(tokens: int, total: int) -> int:
    """Tokens to keep so that kept and reconstructed ones are at most ``total``; ``tokens`` where nothing has to go."""
    if total >= tokens:
        return tokens
    count = min(total, tokens - 1)
    while count > 1 and count + recycling_sizes(tokens - count)[1] > total:
        count -= 1
    return count
