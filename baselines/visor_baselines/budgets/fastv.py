"""What FastV keeps: half of the vision tokens, from the third layer on."""

from dataclasses import dataclass

from visor_eval.cost.budgets import Counts, Cut
from visor_eval.cost.scoring import attention_rows_flops


@dataclass(frozen=True, kw_only=True)
class FastVBudget:
    """Remove a share of the vision tokens, once."""

    k: int = 2  # layers that run on all vision tokens
    r: float = 0.5  # share that is removed

    def __post_init__(self) -> None:
        """Reject values without a meaning."""
        if self.k < 1 or not 0 <= self.r <= 1:
            raise ValueError(f"k must be at least 1 and r lie in 0..1, got k={self.k} and r={self.r}")

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """After layer ``k``.

        Raises:
            ValueError: the decoder ends before.
        """
        if self.k >= layers:
            raise ValueError(f"k={self.k} leaves none of the decoder's {layers} layers to run on fewer tokens")
        return (self.k,)

    def cut(self, at: Counts) -> Cut:
        """``round(n * (1 - r))`` tokens (half to even), at least one."""
        return Cut(min(max(round(at.vision_tokens * (1 - self.r)), 1), at.vision_tokens))

    def scoring_flops(self, at: Counts, cut: Cut) -> int:
        """One attention row on cached keys."""
        if cut.kept == at.vision_tokens:
            return 0
        return attention_rows_flops(at.decoder, queries=1, keys=at.length, project_keys=False)
