"""Choosing tokens of tiles: pure functions on indices [tiles, count] and scores [tiles, tokens].

Equal scores are ordered by index, lower first: `torch.topk` leaves their order open, and tiles of black padding have
many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from visor_eval.core.tokens import Need, VisionTokens


def by_score(scores: Tensor) -> Tensor:
    """Indices in descending order of score [..., tokens]."""
    return scores.argsort(dim=-1, descending=True, stable=True)


def top_k_sorted(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest scores, ascending [..., count]."""
    return by_score(scores)[..., :count].sort(dim=-1).values


def top_counts(scores: Tensor, counts: Tensor) -> Tensor:
    """True at the ``counts[t]`` largest scores of tile t, [tiles, tokens] and [tiles] -> bool [tiles, tokens]."""
    ranks = by_score(scores).argsort(dim=-1)
    return ranks < counts[:, None]


def mask_of(index: Tensor, tokens: int) -> Tensor:
    """True at the given indices [tiles, count] -> bool [tiles, tokens]."""
    return index.new_zeros(len(index), tokens, dtype=torch.bool).scatter(1, index, value=True)


def complement(index: Tensor, tokens: int) -> Tensor:
    """Indices that are not given, ascending [tiles, count] -> [tiles, tokens - count]."""
    given = mask_of(index, tokens).to(torch.uint8)
    return given.argsort(dim=-1, stable=True)[:, : tokens - index.shape[1]]


def take(features: Tensor, index: Tensor) -> Tensor:
    """Rows of each tile, [tiles, tokens, dim] at [tiles, count] -> [tiles, count, dim]."""
    return features.gather(1, index[..., None].expand(-1, -1, features.shape[-1]))


def captured(tokens: VisionTokens, name: Need) -> Tensor:
    """The captured tensor of that name.

    Raises:
        ValueError: it is not there.
    """
    value = getattr(tokens, name)
    if value is None:
        raise ValueError(
            f"these tokens carry no {name!r}: the tower captures it where a reducer's `needs` names it, and a reducer "
            "that changes the grid of a tile drops it"
        )
    return value
