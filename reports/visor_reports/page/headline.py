"""What the page says first: one sentence and a few numbers, from what was measured."""

import math
from dataclasses import dataclass

from visor_eval.analysis import Interval, Summary
from visor_reports.study import Board, Method


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One large number.

    Attributes:
        label: what it is.
        value: the number as text.
        detail: its interval and what to compare it with.
    """

    label: str
    value: str
    detail: str


def hero(board: Board) -> Method | None:
    """The method the page speaks of: VISOR with its router, else VISOR in another form, else none."""
    ours = [method for method in board.methods if method.is_ours]
    return next((method for method in ours if method.name == "visor"), ours[0] if ours else None)


def sentence(board: Board) -> str:
    """What was run, and how VISOR compares with dense, in plain words and without a claim that was not tested."""
    tasks, methods = len(board.tasks), len(board.methods)
    samples = sum(len(found) for found in board.methods[0].samples.values()) if board.methods else 0
    ran = f"{_count(methods, 'method')} on {_count(tasks, 'task')}, {samples:,} questions each."
    ours, dense = hero(board), board.dense
    if ours is None or not ours.groups:
        return ran
    parts = []
    for name, group in ours.groups.items():
        said = f"{group.score.estimate:.1f} of 100 on {name} tasks"
        if dense is not None and name in dense.groups:
            said += f" (dense {dense.groups[name].score.estimate:.1f})"
        if (saving := group.saving.get("exact")) is not None and math.isfinite(saving.estimate):
            said += f" at {saving.estimate:.1f} times less decoder compute"
        parts.append(said)
    return f"{ran} {ours.name} scores {_listed(parts)}."


def figures(board: Board) -> list[Figure]:
    """The large numbers: scores by group, and what is saved by two accountings."""
    ours, dense = hero(board), board.dense
    if ours is None:
        return []
    found = [
        Figure(
            label=f"{ours.name}: score, {name}",
            value=f"{group.score.estimate:.1f}",
            detail=f"95 % interval {_ends(group.score, 1)}" + _dense_score(dense, name),
        )
        for name, group in ours.groups.items()
    ]
    for name, group in ours.groups.items():
        exact = group.saving.get("exact")
        if exact is not None and math.isfinite(exact.estimate):
            found.append(
                Figure(
                    label=f"{ours.name}: saving, {name}",
                    value=f"{exact.estimate:.1f}\N{MULTIPLICATION SIGN}",
                    detail=f"95 % interval {_ends(exact, 2)}, executed FLOPs{_nominal(group)}",
                )
            )
    return found


def _dense_score(dense: Method | None, group: str) -> str:
    return f"; dense {dense.groups[group].score.estimate:.1f}" if dense is not None and group in dense.groups else ""


def _nominal(group: Summary) -> str:
    paper = group.saving.get("paper")
    if paper is None or not math.isfinite(paper.estimate):
        return ""
    return f"; {paper.estimate:.1f}\N{MULTIPLICATION SIGN} as the paper counts"


def _ends(interval: Interval, digits: int) -> str:
    return f"{interval.low:.{digits}f}\N{EN DASH}{interval.high:.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
