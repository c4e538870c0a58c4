"""Vision tokens that leave the decoder between two of its layers: what a pruner is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from visor_eval.cost.shapes import DecoderShape

Positions = Literal["renumber", "preserve"]


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """One sample between two layers, vision tokens left (there is at least one).

    Tokens are in sequence order, text and vision together: ``length`` of them, padding never shows.
    """

    stage: int  # index into what `stages` returned
    group: str | None  # the task's group, "easy" or "hard"; None: it has none
    decoder: DecoderShape
    before: Tensor  # states that entered the layer that has just run [length, dim]
    after: Tensor  # states that left it [length, dim]
    positions: Tensor  # rotary positions of these tokens in that layer [length]
    vision: Tensor  # True for vision tokens (reconstructed ones too) [length]
    vision_tokens: int  # how many they are
    initial_vision_tokens: int  # N0, before the first stage
    embeddings: Tensor  # what entered the first layer [initial length, dim]
    embeddings_vision: Tensor  # True for its vision tokens [initial length]
    memory: dict[str, object]  # the method's own notes on this sample, kept from stage to stage
    attention_rows: Callable[[Tensor], Tensor]
    """Probabilities that the layer that has just run used for the tokens at the given indices [queries], over all keys:
    [heads, queries, length], float32."""
    next_attention_rows: Callable[[Tensor], Tensor]
    """The same for the next layer, from its own norm and projections of ``after`` at the present positions."""

    @property
    def length(self) -> int:
        """Text and vision tokens together."""
        return len(self.vision)

    @property
    def last(self) -> Tensor:
        """Index of the sequence's last token [1]: the prompt's last one, chat template included."""
        return torch.tensor([self.length - 1], device=self.vision.device)


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What stays of the vision tokens of one sample."""

    keep: Tensor  # indices into the sample's vision tokens, ascending [kept]
    extra: Tensor | None = None  # reconstructed tokens [c, dim], to be placed right behind the last vision token


class Pruner(Protocol):
    """Removes vision tokens between layers of the decoder; acts on one sample at a time."""

    positions: ClassVar[Positions]
    """``renumber``: the tokens left get positions 0, 1, ... and a decoded token continues them in each layer;
    ``preserve``: every token keeps its position."""

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """Prune after these layers (from 1, ascending, the last one excluded) of a decoder of ``layers`` have run."""
        ...

    def prune(self, view: Boundary) -> Pruned:
        """Choose what stays at one boundary."""
        ...

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """Matrix-product FLOPs that ``prune`` dispatched at ``view`` with the answer ``pruned``, in closed form."""
        ...


def keep_all(view: Boundary) -> Pruned:
    """Nothing leaves."""
    return Pruned(keep=torch.arange(view.vision_tokens, device=view.vision.device))
