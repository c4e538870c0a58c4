"""What PyramidDrop keeps: fewer vision tokens from stage to stage.

Schedules: the VISOR paper's easy and hard ones (S12) for 24 layers; those for 28 layers as resolved in
docs/spec/decoder_methods.md section 4 (a stage starts where its stated range starts); other depths scale the 24-layer
ones, ``round(layer * L / 24)``. The authors' own for 32 layers: ``layers=(8, 16, 24), ratios=(0.5, 0.25, 0.125)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from visor_eval.cost.budgets import Counts, Cut, within
from visor_eval.cost.scoring import attention_rows_flops


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
class PyramidDropBudget:
    """Drop vision tokens at the end of each stage."""

    schedule: Literal["auto", "easy", "hard"] = "auto"  # auto: the task's group, hard for tasks without one
    layers: tuple[int, ...] | None = None  # a schedule of one's own: layers after which tokens go, from 1 ...
    ratios: tuple[float, ...] | None = None  # ... and the shares of N0 that stay
    at_least: int = 1  # tokens that stay in any case; the authors' code has 0

    settings: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "easy": {"schedule": "easy"},
        "hard": {"schedule": "hard"},
    }

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

    def cut(self, at: Counts) -> Cut:
        """``int(N0 * ratio)`` tokens, as far as there are so many."""
        ratio = self.schedule_for(at.decoder.layers, at.group).ratios[at.stage]
        return Cut(min(max(int(at.initial_vision_tokens * ratio), self.at_least), at.vision_tokens))

    def scoring_flops(self, at: Counts, cut: Cut) -> int:
        """One attention row, and the next layer's keys."""
        if cut.kept == at.vision_tokens:
            return 0
        return attention_rows_flops(at.decoder, queries=1, keys=at.length, project_keys=True)
