"""Configurations as a tree: those that agree on the layers so far are one branch, and its layers run once.

Every configuration says of each layer whether it is full or not. Going down the layers, a branch parts where some of
its members are full and others not. The 13 configurations of a 24-layer model have 51 full layers, their tree 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Configuration = tuple[int, ...]  # full layers, from 1


@dataclass(frozen=True)
class Branch:
    """One way to run one layer, shared by some configurations."""

    layer: int  # from 1
    full: bool  # on text and vision tokens together, or on the text alone
    members: tuple[int, ...]  # indices of the configurations below


def part(members: Sequence[int], layer: int, configurations: Sequence[Configuration]) -> list[Branch]:
    """How ``members`` run ``layer``: one branch, or two where they differ, the full one first."""
    full = tuple(member for member in members if layer in configurations[member])
    rest = tuple(member for member in members if layer not in configurations[member])
    return [Branch(layer, kind, chosen) for kind, chosen in ((True, full), (False, rest)) if chosen]


def every_subset(candidates: Sequence[int]) -> tuple[Configuration, ...]:
    """All 2^n sets of candidate layers, the empty one included, fewest layers first."""
    subsets = [
        tuple(layer for place, layer in enumerate(candidates) if number >> place & 1)
        for number in range(2 ** len(candidates))
    ]
    return tuple(sorted(subsets, key=lambda subset: (len(subset), subset)))
