"""The tokens of a batch on their way through the decoder: text and vision apart, in one order.

Rows are padded on the right: causal attention then never reads padding, and no mask is needed at prefill. Most layers
of a sparse plan see the text alone; a full layer sees text and vision merged into their original order.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from visor_eval.core.pruning import Pruned

Rotary = tuple[Tensor, Tensor]  # cos, sin [batch, length, head_dim]
PADDING = 1 << 30  # the position of padding: behind every real token


@dataclass(frozen=True)
class Prompt:
    """One sample before the decoder."""

    text: Tensor  # embeddings of the text tokens [text, dim]
    vision: Tensor  # embeddings of the vision tokens of all its images [vision, dim]
    text_positions: Tensor  # place of each text token in the sequence [text]
    vision_positions: Tensor  # [vision]
    image_lengths: tuple[int, ...]  # vision tokens of each image

    @classmethod
    def interleave(cls, token_ids: Tensor, embeddings: Tensor, image_token: int, images: Sequence[Tensor]) -> Prompt:
        """Put each image's tokens in the place of its placeholder.

        Args:
            token_ids: the prompt with one ``image_token`` per image [n].
            embeddings: of ``token_ids`` [n, dim].
            image_token: id of the placeholder.
            images: each image's embeddings [length, dim].
        """
        is_text = token_ids != image_token
        slots = (~is_text).nonzero().flatten().tolist()
        if len(slots) != len(images):
            raise ValueError(f"the prompt has {len(slots)} image placeholders for {len(images)} images")
        places = torch.arange(len(token_ids), device=token_ids.device)
        spans = [places[:0]]
        for slot, image in zip(slots, images, strict=True):
            start = int(places[slot])
            spans.append(torch.arange(start, start + len(image), device=places.device))
            places[slot + 1 :] += len(image) - 1
        return cls(
            text=embeddings[is_text],
            vision=torch.cat([embeddings[:0], *images]),
            text_positions=places[is_text],
            vision_positions=torch.cat(spans),
            image_lengths=tuple(len(image) for image in images),
        )

    @property
    def prefix_tokens(self) -> int:
        """Text tokens before the first vision token (all of them without an image)."""
        if len(self.vision_positions) == 0:
            return len(self.text_positions)
        return int((self.text_positions < self.vision_positions[0]).sum())

    @property
    def length(self) -> int:
        """Text and vision tokens together."""
        return len(self.text_positions) + len(self.vision_positions)


@dataclass(frozen=True)
class Lane:
    """One kind of token of a batch, right-padded."""

    states: Tensor  # [batch, length, dim]
    positions: Tensor  # place in the sequence [batch, length]; PADDING where padded
    rotary: Rotary
    lengths: tuple[int, ...]  # real tokens per row

    @property
    def padded(self) -> bool:
        """Whether a row is shorter than the padded length."""
        return min(self.lengths) < self.states.shape[1]

    @property
    def valid(self) -> Tensor | None:
        """True where a token is real [batch, length]; None if all are."""
        return self.positions < PADDING if self.padded else None


class Row(NamedTuple):
    """One sample's tokens in sequence order, without padding."""

    states: Tensor  # [length, dim]
    positions: Tensor  # [length]
    vision: Tensor  # True for vision tokens [length]


class Batch:
    """Text and vision tokens of a batch; full layers borrow them merged, all others borrow the text."""

    def __init__(self, prompts: Sequence[Prompt], rotary: Callable[[Tensor, Tensor], Rotary]) -> None:
        """Pad and order the tokens of ``prompts``; ``rotary(states, positions)`` gives cos and sin."""
        self._rotary = rotary
        self._text = pad_sequence([p.text for p in prompts], batch_first=True)
        self._vision = pad_sequence([p.vision for p in prompts], batch_first=True)
        self._merged: Tensor | None = None  # newer than text and vision while it is set
        self.image_lengths = tuple(p.image_lengths for p in prompts)
        self.prefix_tokens = tuple(p.prefix_tokens for p in prompts)
        self.vision_lengths = tuple(len(p.vision_positions) for p in prompts)
        self._vision_positions = pad_sequence(
            [p.vision_positions for p in prompts], batch_first=True, padding_value=PADDING
        )
        self._vision_rotary: Rotary | None = None
        self._over_rms: tuple[Tensor, Tensor] | None = None  # vision states, and what `vision_over_rms` made of them
        self.ends = tuple(p.length for p in prompts)  # position of each row's next token, unless renumbered
        self.behind: Tensor | None = None  # how far renumbering has moved that position back [batch]
        self._set_text_positions([p.text_positions for p in prompts])

    def __len__(self) -> int:
        return self._text.shape[0]

    def _set_text_positions(self, rows: Sequence[Tensor]) -> None:
        """(Re)compute everything that follows from the order of the tokens."""
        self.text_lengths = tuple(len(row) for row in rows)
        self.lengths = tuple(t + v for t, v in zip(self.text_lengths, self.vision_lengths, strict=True))
        self._text_positions = pad_sequence(list(rows), batch_first=True, padding_value=PADDING)
        both = torch.cat([self._text_positions, self._vision_positions], dim=1)
        order = both.argsort(dim=1, stable=True)
        self._place = order.argsort(dim=1)  # of each text, then vision token in the merged sequence
        self._order = order[:, : max(self.lengths)]
        self._text_rotary = self._rotary(self._text, self._text_positions.clamp(max=max(self.ends)))
        merged = both.gather(1, self._order).clamp(max=max(self.ends))
        self._merged_rotary = self._rotary(self._text, merged)

    def fork(self) -> Batch:
        """A second batch in the same state: tensors are shared, since they are replaced and never written to."""
        return copy.copy(self)

    def select(self, numbers: Sequence[int]) -> Batch:
        """The rows ``numbers`` as a batch of their own (same padding)."""
        rows = torch.tensor(numbers, device=self._text.device)
        part = object.__new__(Batch)
        self._split()
        part._rotary, part._merged, part._vision_rotary, part._over_rms = self._rotary, None, None, None
        part.behind = None if self.behind is None else self.behind[rows]
        for name in ("_text", "_vision", "_vision_positions", "_text_positions", "_place", "_order"):
            setattr(part, name, getattr(self, name)[rows])
        for name in ("_text_rotary", "_merged_rotary"):
            setattr(part, name, tuple(half[rows] for half in getattr(self, name)))
        for name in ("image_lengths", "prefix_tokens", "vision_lengths", "text_lengths", "lengths", "ends"):
            setattr(part, name, tuple(getattr(self, name)[number] for number in numbers))
        return part

    @classmethod
    def stacked(cls, many: Sequence[Batch]) -> Batch:
        """The rows of several states of one batch (``fork``), one after the other."""
        whole = many[0].fork()
        for batch in many:
            batch._split()
        whole._merged = whole._vision_rotary = whole._over_rms = None
        behind = [batch.behind for batch in many if batch.behind is not None]
        whole.behind = torch.cat(behind) if behind else None
        for name in ("_text", "_vision", "_vision_positions", "_text_positions", "_place", "_order"):
            setattr(whole, name, torch.cat([getattr(batch, name) for batch in many]))
        for name in ("_text_rotary", "_merged_rotary"):
            halves = zip(*(getattr(batch, name) for batch in many), strict=True)
            setattr(whole, name, tuple(torch.cat(half) for half in halves))
        for name in ("image_lengths", "prefix_tokens", "vision_lengths", "text_lengths", "lengths", "ends"):
            setattr(whole, name, sum((getattr(batch, name) for batch in many), ()))
        return whole

    # --- text alone -------------------------------------------------------------------------------------------------
    @property
    def text(self) -> Lane:
        """All rows' text tokens."""
        self._split()
        return Lane(self._text, self._text_positions, self._text_rotary, self.text_lengths)

    @property
    def vision(self) -> Lane:
        """All rows' vision tokens."""
        self._split()
        if self._vision_rotary is None:
            self._vision_rotary = self._rotary(self._vision, self._vision_positions.clamp(max=max(self.ends)))
        return Lane(self._vision, self._vision_positions, self._vision_rotary, self.vision_lengths)

    def vision_over_rms(self, eps: float) -> Tensor:
        """Vision states over their root mean square: an RMS norm before its weights; 0 where padded.

        All layers that read between two full layers read the same states, so this is computed once for them.

        Args:
            eps: added to the mean square; the same for all that ask.
        """
        vision = self.vision
        if self._over_rms is None or self._over_rms[0] is not vision.states:
            normed = F.rms_norm(vision.states, vision.states.shape[-1:], eps=eps)
            if vision.valid is not None:
                normed = normed * vision.valid[..., None]
            self._over_rms = vision.states, normed
        return self._over_rms[1]

    def set_text(self, states: Tensor, rows: Tensor | None = None) -> None:
        """Replace the text states of ``rows`` (None: all)."""
        self._split()
        if rows is None:
            self._text = states
        else:
            self._text = self._text.index_copy(0, rows, states)

    # --- text and vision merged -------------------------------------------------------------------------------------
    def merged(self, rows: Tensor | None = None, numbers: Sequence[int] | None = None) -> Lane:
        """Text and vision in sequence order, of all rows or of ``rows`` (``numbers``: the same on the host)."""
        if rows is None or numbers is None:
            if self._merged is None:
                self._merged = _take(torch.cat([self._text, self._vision], dim=1), self._order)
            return Lane(self._merged, self._merged_positions(), self._merged_rotary, self.lengths)
        self._split()
        lengths = tuple(self.lengths[number] for number in numbers)
        order = self._order[rows, : max(lengths)]
        states = _take(torch.cat([self._text[rows], self._vision[rows]], dim=1), order)
        cos, sin = (part[rows, : max(lengths)] for part in self._merged_rotary)
        return Lane(states, self._merged_positions()[rows, : max(lengths)], (cos, sin), lengths)

    def row(self, number: int) -> Row:
        """The tokens of row ``number``."""
        merged, length = self.merged(), self.lengths[number]
        vision = self._order[number, :length] >= self._text_positions.shape[1]
        return Row(merged.states[number, :length], merged.positions[number, :length], vision)

    def set_merged(self, states: Tensor, rows: Tensor | None = None) -> None:
        """Replace the states that ``merged`` gave for the same ``rows``."""
        if rows is None:
            self._merged = states
            return
        text, vision = self._apart(states, self._place[rows])
        self._text = self._text.index_copy(0, rows, text)
        self._vision = self._vision.index_copy(0, rows, vision)

    def _merged_positions(self) -> Tensor:
        return torch.cat([self._text_positions, self._vision_positions], dim=1).gather(1, self._order)

    def _split(self) -> None:
        """Bring text and vision up to date with the merged states."""
        if self._merged is not None:
            self._text, self._vision = self._apart(self._merged, self._place)
            self._merged = None

    def _apart(self, merged: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        apart = _take(merged, place.clamp(max=merged.shape[1] - 1))  # padding takes any token
        text = self._text_positions.shape[1]
        return apart[:, :text], apart[:, text:]

    # --- ends of the rows -------------------------------------------------------------------------------------------
    def last_text(self) -> Tensor:
        """State of each row's last text token [batch, dim]."""
        self._split()
        ends = torch.tensor(self.text_lengths, device=self._text.device) - 1
        return self._text[torch.arange(len(self), device=ends.device), ends]

    def drop_last_text(self) -> None:
        """Forget each row's last text token (the routing token)."""
        self._split()
        rows = [self._text_positions[row, : length - 1] for row, length in enumerate(self.text_lengths)]
        self._text = self._text[:, : max(self.text_lengths) - 1]
        self.ends = tuple(end - 1 for end in self.ends)
        self._set_text_positions(rows)

    # --- fewer vision tokens ----------------------------------------------------------------------------------------
    def prune(self, rows: Mapping[int, Pruned], *, renumber: bool) -> None:
        """Leave what ``rows`` says of those rows' vision tokens; the text stays.

        Args:
            rows: by row number; reconstructed tokens go right behind the place of the row's last vision token.
            renumber: give those rows' tokens the positions 0, 1, ... in their new order; else each keeps its own.
        """
        self._split()
        vision, vision_positions, text_positions = [], [], []
        for number, (text_tokens, vision_tokens) in enumerate(zip(self.text_lengths, self.vision_lengths, strict=True)):
            states, places = self._vision[number, :vision_tokens], self._vision_positions[number, :vision_tokens]
            text = self._text_positions[number, :text_tokens]
            if number in rows:
                states, places = _pruned(states, places, rows[number], renumber=renumber)
                if renumber:
                    ranks = torch.cat([text, places]).argsort(stable=True).argsort()
                    text, places = ranks[:text_tokens], ranks[text_tokens:]
            vision.append(states)
            vision_positions.append(places)
            text_positions.append(text)
        self._vision, self._vision_rotary = pad_sequence(vision, batch_first=True), None
        self._vision_positions = pad_sequence(vision_positions, batch_first=True, padding_value=PADDING)
        self.vision_lengths = tuple(len(states) for states in vision)
        self.image_lengths = tuple(  # which image a token belonged to is forgotten
            (self.vision_lengths[number],) if number in rows else lengths
            for number, lengths in enumerate(self.image_lengths)
        )
        self._set_text_positions(text_positions)
        if renumber:
            removed = [end - length for end, length in zip(self.ends, self.lengths, strict=True)]
            self.behind = torch.tensor(removed, device=self._text.device)


def _pruned(states: Tensor, places: Tensor, cut: Pruned, *, renumber: bool) -> tuple[Tensor, Tensor]:
    """One row's vision tokens and the places that order them; reconstructed ones share the last token's place."""
    if cut.extra is None:
        return states[cut.keep], places[cut.keep]
    if not renumber:
        raise ValueError("reconstructed tokens have no position of their own: the pruner must renumber")
    extra = cut.extra.to(states)
    return torch.cat([states[cut.keep], extra]), torch.cat([places[cut.keep], places[-1:].expand(len(extra))])


def _take(states: Tensor, index: Tensor) -> Tensor:
    """Rows' tokens by index: [batch, n, dim], [batch, m] -> [batch, m, dim]."""
    batch, length, dim = states.shape
    offsets = torch.arange(batch, device=index.device)[:, None] * length
    return states.reshape(batch * length, dim).index_select(0, (index + offsets).flatten()).view(batch, -1, dim)
