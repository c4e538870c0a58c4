"""The oracle's score without generating: would greedy decoding say the reference, and how far (supplement S4)?

Greedy decoding follows a reference exactly as long as each next reference token is the likeliest one, given the
reference so far. One forward over the reference tokens behind the prompt tells; no token has to be produced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from visor_eval.models.generation import Limits
    from visor_eval.probes.followers import Versions


@dataclass(frozen=True)
class Reference:
    """One accepted answer as tokens."""

    tokens: tuple[int, ...]  # end token included
    reachable: int  # tokens that generation can produce: it may be cut by its limit or a stop string


@dataclass(frozen=True)
class Match:
    """How far an answer follows the reference that it follows furthest (the shortest among equals)."""

    matched: int  # tokens up to the first mismatch
    reference: int  # index of the reference

    @classmethod
    def best(cls, matched: Sequence[int], references: Sequence[Reference]) -> Match:
        """Of the matches with each reference."""
        best = max(range(len(matched)), key=lambda index: (matched[index], -len(references[index].tokens)))
        return cls(matched[best], best)


def reference(
    tokens: Sequence[int], end_token: int, limits: Limits, decode_text: Callable[[Sequence[int]], str]
) -> Reference:
    """The answer ``tokens`` and its end token, and how many of them ``limits`` let greedy decoding produce."""
    whole = (*tokens, end_token)
    reachable = min(len(whole), limits.max_new_tokens)
    if limits.stop:
        for count in range(1, reachable):
            if any(mark in decode_text(whole[:count]) for mark in limits.stop):
                reachable = count
                break
    return Reference(whole, reachable)


def versions(references: Sequence[Sequence[Reference]]) -> list[Versions]:
    """What has to follow each row's prompt: every reference up to the token before the last reachable one."""
    return [tuple(each.tokens[: max(0, each.reachable - 1)] for each in row) for row in references]


def real_followers(references: Sequence[Sequence[Reference]], width: int) -> Tensor:
    """True where a row's follower is a token of a reference, not padding [rows, width]."""
    counts = [sum(map(len, row)) for row in versions(references)]
    return torch.arange(width)[None] < torch.tensor(counts)[:, None]


def teacher_forced(
    first: Sequence[int], following: Sequence[int], references: Sequence[Sequence[Reference]]
) -> list[Match]:
    """Each row's match under one configuration.

    Args:
        first: the likeliest first token of each row.
        following: the likeliest token behind each real follower, row by row.
        references: of each row, at least one.
    """
    found, place = [], 0
    for start, row, runs in zip(first, references, versions(references), strict=True):
        matched = []
        for one, run in zip(row, runs, strict=True):
            said = [start, *following[place : place + len(run)]]
            matched.append(agreeing(said, one.tokens[: one.reachable]))
            place += len(run)
        found.append(Match.best(matched, row))
    return found


def agreeing(said: Sequence[int], wanted: Sequence[int]) -> int:
    """Tokens that agree up to the first mismatch."""
    count = 0
    for one, other in zip(said, wanted, strict=False):
        if one != other:
            break
        count += 1
    return count


def generated_match(token_ids: Sequence[int], references: Sequence[Reference]) -> Match:
    """The same score, from tokens that were really generated."""
    return Match.best([agreeing(token_ids, each.tokens) for each in references], references)
