"""PyramidDrop (Xing et al., CVPR 2025): fewer vision tokens from stage to stage, ranked by the prompt's last token.

arXiv:2410.17247. Behaviour of Cooperx521/PyramidDrop at 6444f30 (MIT), inference, written anew from
docs/spec/decoder_methods.md section 1: at the end of a stage the next layer's own norm and projections give the
attention of the prompt's last token over all keys; the best ``int(N0 * ratio)`` vision tokens stay and positions are
renumbered.

Schedules: the VISOR paper's easy and hard ones (S12) for 24 layers; those for 28 layers as resolved in spec section 4
(a stage starts where its stated range starts); other depths scale the 24-layer ones, ``round(layer * L / 24)``. The
authors' own for 32 layers: ``layers=(8, 16, 24), ratios=(0.5, 0.25, 0.125)``.

Deviations: keys are repeated for grouped-query attention and the projections' biases are used (the authors' code
knows neither); at least ``at_least`` = 1 token stays (authors: possibly none, ``at_least=0``); vision tokens of
several images are ranked together (authors: the first image only); any batch (authors: decode one sample at a time);
equal scores go to the lower index. S12 speaks of attention over vision tokens and the query's last token; the code
normalises over all keys and takes the last token of the whole prompt, and so does this.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from visor_eval.core.attention_rows import attention_rows_flops
from visor_eval.core.pruning import Boundary, Positions, Pruned, keep_all, within
from visor_eval.core.token_ops import top_k_sorted


@dataclass(frozen=True)
class Schedule:
    """Layers (from 1) after which tokens go, and the shares of N0 that stay then."""

    layers: tuple[int, ...]
    ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        """Reject what is not a falling pyramid."""
        if len(self.layers) != len(self.ratios):
            raise ValueError(f"{len(self.layers)} layers need as many ratios, got {len(self.ratios)}")
        if list(self.ratios) != sorted(self.ratios, reverse=True) or any(not 0 <= ratio <= 1 for ratio in self.ratios):
            raise ValueError(f"ratios must fall within 0..1, got {self.ratios}")

    def scaled(self, written_for: int, layers: int) -> "Schedule":
        """For a decoder of ``layers`` layers."""
        stages = within([round(layer * layers / written_for) for layer in self.layers], layers)
        return Schedule(stages, self.ratios[: len(stages)])


SCHEDULES = {
    24: {
        "easy": Schedule((1, 6, 12), (0.3, 0.2, 0.1)),
        "hard": Schedule((4, 10, 16), (0.5, 0.25, 0.125)),
    },
    28: {
        "easy": Schedule((1, 2, 4, 10), (0.5, 0.3, 0.2, 0.1)),
        "hard": Schedule((2, 7, 12, 18), (0.75, 0.5, 0.25, 0.125)),
    },
}


@dataclass(frozen=True, kw_only=True)
class PyramidDrop:
    """Drop vision tokens at the end of each stage; positions are renumbered."""

    schedule: Literal["auto", "easy", "hard"] = "auto"  # auto: the task's group, hard for tasks without one
    layers: tuple[int, ...] | None = None  # a schedule of one's own: layers after which tokens go, from 1 ...
    ratios: tuple[float, ...] | None = None  # ... and the shares of N0 that stay
    at_least: int = 1  # tokens that stay in any case; the authors' code has 0

    positions: ClassVar[Positions] = "renumber"

    def __post_init__(self) -> None:
        """Reject values without a meaning."""
        if self.schedule not in ("auto", "easy", "hard"):
            raise ValueError(f"unknown schedule {self.schedule!r}; valid: auto, easy, hard")
        if self.layers is not None and self.ratios is not None:
            Schedule(tuple(self.layers), tuple(self.ratios))
        elif self.layers is not None or self.ratios is not None:
            raise ValueError("layers and ratios make a schedule together: give both or neither")

    def schedule_for(self, layers: int, group: str | None) -> Schedule:
        """What happens in a decoder of ``layers`` layers on a task of ``group``."""
        if self.layers is not None and self.ratios is not None:
            return Schedule(tuple(self.layers), tuple(self.ratios))
        kind = self.schedule if self.schedule != "auto" else "easy" if group == "easy" else "hard"
        if layers in SCHEDULES:
            return SCHEDULES[layers][kind]
        return SCHEDULES[24][kind].scaled(24, layers)

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """The last layer of every stage but the last stage."""
        return self.schedule_for(layers, group).layers

    def prune(self, view: Boundary) -> Pruned:
        """Keep the ``int(N0 * ratio)`` tokens with the largest scores."""
        ratio = self.schedule_for(view.decoder.layers, view.group).ratios[view.stage]
        kept = max(int(view.initial_vision_tokens * ratio), self.at_least)
        if kept >= view.vision_tokens:
            return keep_all(view)
        return Pruned(keep=top_k_sorted(self.scores(view), kept))

    def scores(self, view: Boundary) -> Tensor:
        """Head-mean probability of each vision token in the last token's row of the next layer [tokens]."""
        return view.next_attention_rows(view.last).mean(dim=0)[0, view.vision]

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """One attention row, and the next layer's keys."""
        if len(pruned.keep) == view.vision_tokens:
            return 0
        return attention_rows_flops(view.decoder, queries=1, keys=view.length, project_keys=True)
