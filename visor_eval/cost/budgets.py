"""What a method keeps, in plain numbers: enough to say its cost without a model, an image or torch.

A method's runnable class inherits from its budget, so that what is kept and what choosing costs stand once. An entry
point of the group ``visor_eval.budgets`` makes a budget known to ``visor-eval flops`` (docs/flops.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from visor_eval.cost.shapes import DecoderShape

Need = Literal["scores", "keys", "first_scores", "fingerprint"]  # what a reducer may read besides features
TileShape = tuple[int, int]  # tokens per tile: rows, columns


@dataclass(frozen=True)
class Selection:
    """Tokens that a reducer picks from one image's tiles, where they no longer form a grid.

    Attributes:
        kept: chosen tokens of each tile, thumbnail first, if attention were spread evenly; unpadding may cut some.
        merged: tokens made of several, of each tile; unpadding never cuts these.
        at_most: all of them together for any image; None: ``kept`` and ``merged`` hold for every image.
    """

    kept: tuple[int, ...]
    merged: tuple[int, ...]
    at_most: int | None = None

    @classmethod
    def per_tile(cls, tiles: int, kept: int, merged: int = 0) -> "Selection":
        """The same number of every tile."""
        return cls((kept,) * tiles, (merged,) * tiles)

    @property
    def tokens(self) -> int:
        """All of them, before unpadding."""
        return sum(self.kept) + sum(self.merged)

    @property
    def most(self) -> int:
        """No image leaves more."""
        return self.tokens if self.at_most is None else self.at_most


class Reducing(Protocol):
    """What fewer vision tokens before the decoder cost to choose."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it reads of an image besides features."""
        ...

    @property
    def after_projector(self) -> bool:
        """On which side of the projector it runs."""
        ...

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Matrix-product FLOPs for one image of ``tiles`` x ``tokens``, the capture apart."""
        ...


class ReducerBudget(Reducing, Protocol):
    """Fewer vision tokens before the decoder.

    Members for some: ``nominal_factor: float``, what the `paper` accounting divides by where the grid only comes close
    to it; ``prepared_size(height, width) -> (height, width)``, where the image changes before it is tiled; the class
    attribute ``settings: Mapping[str, Mapping[str, object]]``, names of settings and their fields, all of them listed.
    """

    def left(self, tiles: int, tile_shape: TileShape) -> "TileShape | Selection":
        """What it leaves of ``tiles`` tiles, thumbnail included: a smaller grid per tile, or a selection."""
        ...


class Counts(Protocol):
    """What a pruner's budget reads of one sample between two layers; `core.pruning.Boundary` has it too."""

    @property
    def stage(self) -> int:
        """Index into what ``stages`` returned."""
        ...

    @property
    def group(self) -> str | None:
        """The task's group, easy or hard; None: it has none."""
        ...

    @property
    def decoder(self) -> DecoderShape:
        """The decoder's shape."""
        ...

    @property
    def vision_tokens(self) -> int:
        """Vision tokens in the sequence."""
        ...

    @property
    def initial_vision_tokens(self) -> int:
        """Vision tokens before the first stage."""
        ...

    @property
    def length(self) -> int:
        """Text and vision tokens together."""
        ...


@dataclass(frozen=True, kw_only=True)
class PlannedCounts:
    """``Counts`` of a sample that was not run."""

    stage: int
    group: str | None
    decoder: DecoderShape
    vision_tokens: int
    initial_vision_tokens: int
    length: int
    text_behind: int  # text tokens behind the last image


@dataclass(frozen=True)
class Cut:
    """How many vision tokens go on after one stage."""

    kept: int
    extra: int = 0  # reconstructed from the pruned ones

    @property
    def tokens(self) -> int:
        """Kept and reconstructed."""
        return self.kept + self.extra


class PrunerBudget(Protocol):
    """Fewer vision tokens from layer to layer."""

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """Prune after these layers (from 1, ascending, the last one excluded) of a decoder of ``layers``."""
        ...

    def cut(self, at: Counts) -> Cut:
        """What stays at one stage.

        Raises:
            ValueError: that depends on the sample, not on numbers.
        """
        ...

    def scoring_flops(self, at: PlannedCounts, cut: Cut) -> int:
        """Matrix-product FLOPs of choosing what stays at one stage."""
        ...


def within(stages: Sequence[int], layers: int) -> tuple[int, ...]:
    """Scaled stages made usable: from 1, strictly ascending; those not before the last layer fall away.

    Only decoders much shallower than the schedule was written for are affected.
    """
    usable: list[int] = []
    for stage in stages:
        usable.append(max(stage, usable[-1] + 1 if usable else 1))
    return tuple(stage for stage in usable if stage < layers)
