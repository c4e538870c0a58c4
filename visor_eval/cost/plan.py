"""What each decoder layer does with the vision tokens: one plan for every method, dense included."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self


class VisionMode(StrEnum):
    """What one decoder layer does with the vision tokens."""

    FULL = "full"  # the stock layer runs on text and vision tokens and updates both
    READ = "read"  # text tokens read the vision tokens, which are not changed
    ABSENT = "absent"  # the layer runs on the text tokens alone


class Reader(StrEnum):
    """How a READ layer reads."""

    ADDED = "added"  # an added cross-attention block after the stock text-only layer (VISOR)
    OWN = "own"  # the layer's own attention, its keys extended by the stale vision tokens (visor-zero)


@dataclass(frozen=True)
class LayerStep:
    """One layer of a plan.

    Attributes:
        mode: what the layer does with the vision tokens.
        vision_tokens: how many of them it processes (FULL) or reads (READ); 0 for ABSENT.
        reader: how a READ layer reads; ignored by the other modes.
    """

    mode: VisionMode
    vision_tokens: int
    reader: Reader = Reader.ADDED

    def __post_init__(self) -> None:
        """Reject counts that contradict the mode."""
        object.__setattr__(self, "mode", VisionMode(self.mode))
        object.__setattr__(self, "reader", Reader(self.reader))
        if self.vision_tokens < 0:
            raise ValueError(f"vision_tokens must not be negative, got {self.vision_tokens}")
        if self.mode is VisionMode.ABSENT and self.vision_tokens:
            raise ValueError(f"an absent layer sees no vision tokens, got vision_tokens={self.vision_tokens}")


@dataclass(frozen=True)
class LayerPlan:
    """The steps of all decoder layers, first to last. Layers are numbered from 1 in every argument and property."""

    steps: tuple[LayerStep, ...]

    def __post_init__(self) -> None:
        """Reject an empty plan."""
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ValueError("a plan needs at least one layer")

    @classmethod
    def dense(cls, layers: int, vision_tokens: int) -> Self:
        """Every layer processes every vision token."""
        return cls.sparse(layers, vision_tokens, full=range(1, layers + 1))

    @classmethod
    def sparse(
        cls,
        layers: int,
        vision_tokens: int,
        *,
        full: Iterable[int],
        read: Iterable[int] = (),
        reader: Reader = Reader.ADDED,
    ) -> Self:
        """VISOR's form: some layers process the vision tokens, some read them, the others run on text alone.

        Args:
            layers: decoder layers in all.
            vision_tokens: vision tokens that enter the decoder.
            full: layers, from 1, that run on text and vision tokens.
            read: layers, from 1, in which text reads vision; disjoint from ``full``.
            reader: how the READ layers read.

        Raises:
            ValueError: a layer outside 1..layers, listed twice, or in both sets.
        """
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        chosen = {name: _checked(name, values, layers) for name, values in (("full", full), ("read", read))}
        both = sorted(chosen["full"] & chosen["read"])
        if both:
            raise ValueError(f"layers {both} are in both full and read; a layer has one mode")
        is_full, is_read, is_absent = (
            LayerStep(VisionMode.FULL, vision_tokens),
            LayerStep(VisionMode.READ, vision_tokens, reader),
            LayerStep(VisionMode.ABSENT, 0),
        )
        return cls(
            tuple(
                is_full if layer in chosen["full"] else is_read if layer in chosen["read"] else is_absent
                for layer in range(1, layers + 1)
            )
        )

    @property
    def full_layers(self) -> tuple[int, ...]:
        """Layers, from 1, that process vision tokens."""
        return self._layers(VisionMode.FULL)

    @property
    def read_layers(self) -> tuple[int, ...]:
        """Layers, from 1, in which text reads vision tokens."""
        return self._layers(VisionMode.READ)

    @cached_property
    def kinds(self) -> Mapping[LayerStep, int]:
        """How many layers do the same, first seen first."""
        return Counter(self.steps)

    @property
    def nominal(self) -> int:
        """Vision tokens x layers that process them: the `paper` accounting, for a plan of one tile."""
        return sum(step.vision_tokens for step in self.steps if step.mode is VisionMode.FULL)

    @property
    def is_dense(self) -> bool:
        """Whether every layer processes the same vision tokens."""
        return all(step.mode is VisionMode.FULL and step == self.steps[0] for step in self.steps)

    def __len__(self) -> int:
        """Decoder layers."""
        return len(self.steps)

    def _layers(self, mode: VisionMode) -> tuple[int, ...]:
        return tuple(number for number, step in enumerate(self.steps, 1) if step.mode is mode)


def _checked(name: str, values: Iterable[int], layers: int) -> set[int]:
    listed = list(values)
    outside = sorted(value for value in listed if not 1 <= value <= layers)
    if outside:
        raise ValueError(f"{name}: layers {outside} lie outside 1..{layers} (layers are counted from 1)")
    if len(set(listed)) < len(listed):
        raise ValueError(f"{name}: a layer is listed twice in {listed}")
    return set(listed)
