"""Configurations as rows of one larger batch: to decode them together, and to take such a batch apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from visor_eval.models.cache import CachePart, KeyValues, LayerCache
from visor_eval.models.decoder import Decoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visor_eval.probes.prefix_sweep import Leaf
    from visor_eval.probes.prefix_tree import Configuration


def joined(
    leaves: Sequence[Leaf], logits: Tensor, ends: Sequence[int], configurations: Sequence[Configuration]
) -> Decoding:
    """One decoding whose rows are the batch under the first leaf's configuration, then under the second's, ...

    In each layer there are at most two parts: the rows for which it is full, and the others.

    Args:
        leaves: with their caches, of the same batch.
        logits: of the first new token, in the rows' order [leaves * batch, vocab].
        ends: position of each row's next token.
        configurations: what ``Leaf.index`` points into.
    """
    device = logits.device
    rows = len(ends)
    layers = []
    for number in range(1, len(leaves[0].caches) + 1):
        full = [place for place, leaf in enumerate(leaves) if number in configurations[leaf.index]]
        rest = [place for place in range(len(leaves)) if place not in set(full)]
        parts = []
        for places in filter(None, (full, rest)):
            own = [leaves[place].caches[number - 1].parts[0] for place in places]
            where = None if len(places) == len(leaves) else _rows(places, rows).to(device)
            parts.append(_stacked(own, where))
        layers.append(LayerCache(parts))
    return Decoding(
        logits=logits,
        positions=torch.tensor(list(ends) * len(leaves), device=device),
        configurations=[configurations[leaf.index] for leaf in leaves for _ in range(rows)],
        layers=layers,
    )


def cache_bytes(leaf: Leaf) -> int:
    """Bytes of everything that decoding from ``leaf`` needs, what it shares with other leaves included."""
    return sum(cache.kv_bytes for cache in leaf.caches)


def rows_of(cache: LayerCache, start: int, stop: int) -> LayerCache:
    """The rows from ``start`` to before ``stop`` of a layer that treats all rows alike."""
    (part,) = cache.parts
    memory = _sliced(part.memory, slice(start, stop))
    return LayerCache([CachePart(None, part.past.part(start, stop), part.reads, memory)])


def _sliced(memory: object, rows: slice) -> object:
    if isinstance(memory, Tensor):
        return memory[rows]
    if isinstance(memory, tuple):
        return getattr(memory, "_make", tuple)([_sliced(each, rows) for each in memory])
    return memory


def _rows(places: Sequence[int], rows: int) -> Tensor:
    return (torch.tensor(places)[:, None] * rows + torch.arange(rows)).flatten()


def _stacked(parts: Sequence[CachePart], rows: Tensor | None) -> CachePart:
    memory = _joined_memory([part.memory for part in parts])
    return CachePart(rows, KeyValues.stacked([part.past for part in parts]), parts[0].reads, memory)


def _joined_memory(memories: Sequence[object]) -> object:
    """What a reader keeps, of several batches: tensors with rows first, None, or (named) tuples of these."""
    first = memories[0]
    if isinstance(first, Tensor):
        return torch.cat([memory for memory in memories if isinstance(memory, Tensor)])
    if isinstance(first, tuple):
        columns = [_joined_memory(column) for column in zip(*memories, strict=True)]  # type: ignore[arg-type]
        make = getattr(first, "_make", tuple)  # a named tuple's own maker
        return make(columns)
    return first
