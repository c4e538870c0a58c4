"""Keys and values that decode needs, layer by layer; each layer keeps its own length.

A stock decoder layer is handed a ``KeyValues`` as its ``past_key_values``: all it calls is ``update``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOM = 16  # positions a buffer grows by at least


class KeyValues:
    """Keys and values of one layer for some rows of the batch: filled at prefill, one position more per decode step."""

    def __init__(self) -> None:
        """Start empty."""
        self._keys: Tensor | None = None  # [rows, kv_heads, room, head_dim]
        self._values: Tensor | None = None
        self._valid: Tensor | None = None  # [rows, room]; None: every filled position is real
        self.length = 0  # filled positions, padding included
        self._lengths: tuple[int, ...] = ()  # real positions of each row, as `keep` was told

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append [rows, kv_heads, new, head_dim]; return everything so far, ready for attention."""
        if self._keys is None or self._values is None:  # prefill keeps what the layer made; decode makes room
            self._keys, self._values, self.length = keys, values, keys.shape[2]
            return keys, values
        end = self.length + keys.shape[2]
        if end > self._keys.shape[2]:
            self._grow(end)
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def _grow(self, needed: int) -> None:
        assert self._keys is not None
        assert self._values is not None
        room = max(needed + ROOM, self.length * 9 // 8)
        self._keys = _widened(self._keys, self.length, room, dim=2)
        self._values = _widened(self._values, self.length, room, dim=2)
        if self._valid is not None:
            self._valid = _widened(self._valid, self.length, room, dim=1, fill=True)

    def keep(self, lengths: Sequence[int]) -> None:
        """Only the first ``lengths[row]`` positions of each row are real: forget or mask the others."""
        assert self._keys is not None
        assert self._values is not None
        self._lengths = tuple(lengths)
        self.length = max(lengths)
        self._keys, self._values = self._keys[:, :, : self.length], self._values[:, :, : self.length]
        self._valid = None
        if min(lengths) < self.length:
            ends = torch.tensor(lengths, device=self._keys.device)
            self._valid = torch.arange(self.length, device=ends.device) < ends[:, None]

    def drop_last(self) -> None:
        """Forget the last real position of each row (a probe token's)."""
        self.keep([length - 1 for length in self._lengths])

    def keep_where(self, valid: Tensor) -> None:
        """Mask the positions where ``valid`` [rows, length] is False."""
        self._valid = valid

    def keys(self, row: int) -> Tensor:
        """Real keys of one row, rotary positions applied [kv_heads, length, head_dim]; before the first decode step."""
        assert self._keys is not None
        return self._keys[row, :, : self._lengths[row]]

    def next_mask(self) -> Tensor | None:
        """What the next token may look at, itself included [rows, 1, 1, length + 1]; None: everything."""
        if self._valid is None:
            return None
        if self._valid.shape[1] <= self.length:
            self._grow(self.length + 1)
        return self._valid[:, None, None, : self.length + 1]

    def held(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values of the filled positions [rows, kv_heads, length, head_dim], and where they are real.

        The last is [rows, length], or None if every position is real.
        """
        assert self._keys is not None
        assert self._values is not None
        valid = None if self._valid is None else self._valid[:, : self.length]
        return self._keys[:, :, : self.length], self._values[:, :, : self.length], valid

    def part(self, start: int, stop: int) -> KeyValues:
        """The rows from ``start`` to before ``stop`` as a cache of their own (the same memory)."""
        keys, values, valid = self.held()
        some = KeyValues()
        some.update(keys[start:stop], values[start:stop])
        some._lengths = self._lengths[start:stop]
        some._valid = None if valid is None else valid[start:stop]
        return some

    @classmethod
    def stacked(cls, many: Sequence[KeyValues]) -> KeyValues:
        """The rows of several caches of equal length, one after the other, as a cache of their own."""
        keys, values, valid = zip(*(past.held() for past in many), strict=True)
        joined = cls()
        joined.update(torch.cat(keys), torch.cat(values))
        joined._lengths = tuple(length for past in many for length in past._lengths)
        if any(mask is not None for mask in valid):
            every = [k.new_ones(len(k), k.shape[2], dtype=torch.bool) for k in keys]
            masks = [other if mask is None else mask for mask, other in zip(valid, every, strict=True)]
            joined._valid = torch.cat(masks)
        return joined

    @property
    def kv_bytes(self) -> int:
        """Bytes that the filled positions hold, padding included."""
        if self._keys is None:
            return 0
        rows, heads, _, width = self._keys.shape
        return 2 * rows * heads * self.length * width * self._keys.element_size()


@dataclass
class CachePart:
    """Rows of the batch that one layer treats alike."""

    rows: Tensor | None  # None: all rows
    past: KeyValues
    reads: bool = False  # the layer's reader runs after (or in) this layer
    memory: object = None  # what that reader keeps: tensors, None, or tuples of these

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held, padding and what the reader keeps included."""
        return self.past.kv_bytes + _bytes(self.memory)


@dataclass
class LayerCache:
    """One decoder layer's cache."""

    parts: list[CachePart] = field(default_factory=list)
    behind: Tensor | None = None  # how far each row's positions lie behind the sequence's (pruned, renumbered) [batch]

    @property
    def kv_bytes(self) -> int:
        """Bytes held by the layer, padding and what its reader keeps included."""
        return sum(part.kv_bytes for part in self.parts)


def _bytes(memory: object) -> int:
    if isinstance(memory, Tensor):
        return memory.nbytes
    return sum(map(_bytes, memory)) if isinstance(memory, tuple) else 0


def _widened(old: Tensor, filled: int, room: int, dim: int, fill: float = 0) -> Tensor:
    shape = list(old.shape)
    shape[dim] = room
    new = old.new_full(shape, fill)
    new.narrow(dim, 0, filled).copy_(old.narrow(dim, 0, filled))
    return new
