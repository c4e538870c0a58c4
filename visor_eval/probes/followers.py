"""Tokens that come after a prompt in several versions, looked at without becoming part of it.

They run through the layers behind the prompt: each attends to the prompt's cached keys and values (and reads its
vision where the layer does), and to the tokens of its own version only. Nothing is written into the prompt's caches,
so all versions of all references, and the routing token, cost one short stretch of text each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from visor_eval.models.cache import CachePart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visor_eval.models.cache import KeyValues, LayerCache
    from visor_eval.models.decoder import SparseDecoder
    from visor_eval.models.sequence import Rotary

Versions = tuple[tuple[int, ...], ...]  # of one row: each a run of token ids


@dataclass(frozen=True)
class Followers:
    """The followers of a batch of prompts, padded on the right."""

    states: Tensor  # [rows, followers, dim]
    rotary: Rotary
    sees: Tensor  # True where a follower sees another (or itself) [rows, followers, followers]

    @classmethod
    def of(
        cls, decoder: SparseDecoder, ends: Sequence[int], versions: Sequence[Versions], device: torch.device
    ) -> Followers:
        """Embed every row's versions, one after the other in one row of followers.

        Args:
            decoder: gives embeddings and rotary positions.
            ends: position of each row's first token behind the prompt.
            versions: each row's runs of token ids; empty runs are allowed.
            device: of the prompts.
        """
        width = max(sum(map(len, runs)) for runs in versions)
        ids = torch.zeros(len(versions), width, dtype=torch.long)
        owner = torch.full((len(versions), width), -1)  # padding sees padding, so that no row of scores is empty
        positions = torch.tensor(ends)[:, None].repeat(1, width)
        for row, runs in enumerate(versions):
            start = 0
            for number, run in enumerate(runs):
                place = slice(start, start := start + len(run))
                ids[row, place] = torch.tensor(run, dtype=torch.long)
                owner[row, place] = number
                positions[row, place] += torch.arange(len(run))
        causal = torch.ones(width, width, dtype=torch.bool).tril()
        sees = ((owner[:, :, None] == owner[:, None, :]) & causal).to(device)
        states = decoder.language_model.embed_tokens(ids.to(device))  # type: ignore[operator]
        return cls(states, decoder.rotary(states, positions.to(device)), sees)

    @classmethod
    def stacked(cls, many: Sequence[Followers]) -> Followers:
        """The rows of several followers of equal width, one after the other."""
        cos, sin = (torch.cat(half) for half in zip(*(each.rotary for each in many), strict=True))
        return cls(torch.cat([each.states for each in many]), (cos, sin), torch.cat([each.sees for each in many]))

    @classmethod
    def token(cls, decoder: SparseDecoder, ends: Sequence[int], embedding: Tensor) -> Followers:
        """The same single token [dim] behind every prompt."""
        device = embedding.device
        states = embedding.expand(len(ends), 1, -1)
        positions = torch.tensor(ends, device=device)[:, None]
        return cls(states, decoder.rotary(states, positions), torch.ones(len(ends), 1, 1, dtype=torch.bool).to(device))

    def through(self, decoder: SparseDecoder, layer: int, cache: LayerCache) -> Followers:
        """After one more layer, from 1, that the prompts have just run; every row ran it in the same way."""
        (part,) = cache.parts
        behind = CachePart(None, _Behind(part.past, self.sees), part.reads, part.memory)  # type: ignore[arg-type]
        return replace(self, states=decoder.step_layer(layer, self.states, self.rotary, behind))


class _Behind:
    """A layer's past as its followers see it: the prompt's, and each other where they may."""

    def __init__(self, past: KeyValues, sees: Tensor) -> None:
        self._keys, self._values, valid = past.held()
        rows, length, width = len(sees), self._keys.shape[2], sees.shape[1]
        prompt = sees.new_ones(rows, width, length) if valid is None else valid[:, None].expand(-1, width, -1)
        self._mask = torch.cat([prompt, sees], dim=2)[:, None]

    def next_mask(self) -> Tensor:
        """[rows, 1, followers, length + followers]."""
        return self._mask

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Keys and values of prompt and followers; nothing is kept."""
        return torch.cat([self._keys, keys], dim=2), torch.cat([self._values, values], dim=2)
