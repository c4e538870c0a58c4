"""How vision features change over the layers, per task and group: mean CKA of every pair of states, with intervals.

A task's value is the mean over its samples. Samples of one image have the same vision features up to the plan that the
router chose, so that images, not samples, are resampled. A group is the unweighted mean of its tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visor_eval.analysis.intervals import LEVEL, RESAMPLES, SEED, Interval, bootstrap_sums
from visor_eval.analysis.scores import TaskUnits
from visor_eval.records.cka import CkaSample

FIRST = 1  # the state that `first` compares with: what layer 1 leaves


@dataclass(frozen=True)
class CkaMatrix:
    """Mean CKA of every pair of states [states, states] and the ends of its intervals; NaN where it is not defined."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class CkaSummary:
    """One task or group."""

    name: str
    samples: int
    units: int  # images
    layers: int
    distinct: float  # mean number of distinct states
    matrix: CkaMatrix  # state 0 enters the decoder, state k is what layer k leaves
    consecutive: tuple[Interval, ...]  # CKA of the states before and after layer 1, 2, ...
    first: tuple[Interval, ...]  # CKA of what layer 1 leaves and what layer 1, 2, ... leaves


@dataclass(frozen=True, kw_only=True)
class CkaDifference:
    """What hard tasks have more than easy ones (negative: less)."""

    consecutive: tuple[Interval, ...]
    first: tuple[Interval, ...]
    entered: tuple[Interval, ...]  # CKA of what enters the decoder and what layer 1, 2, ... leaves


@dataclass(frozen=True, kw_only=True)
class CkaReport:
    """One run."""

    tasks: tuple[CkaSummary, ...]
    groups: tuple[CkaSummary, ...]
    difference: CkaDifference | None  # hard - easy; None unless both were run


@dataclass(frozen=True)
class _Row:
    samples: int
    units: int
    distinct: float
    estimate: np.ndarray  # [pairs], the upper triangle of the states
    draws: np.ndarray  # [resamples, pairs]


def summarise_cka(
    samples: Sequence[CkaSample], *, tasks: Sequence[str] = (), resamples: int = RESAMPLES, seed: int = SEED
) -> CkaReport:
    """Summarise one run.

    Args:
        samples: of one model.
        tasks: order of the tasks; default: as they occur.
        resamples: number of bootstrap samples.
        seed: seed of the draws.

    Raises:
        ValueError: no samples, or samples of decoders of different depth.
    """
    depths = {len(sample.states) for sample in samples}
    if len(depths) != 1:
        raise ValueError(f"expected samples of one model, got states {sorted(depths) or 'of none'}")
    states = depths.pop()
    by_task: dict[str, list[CkaSample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    order = [*(task for task in tasks if task in by_task), *(task for task in by_task if task not in tasks)]
    rows = {task: _task_row(task, by_task[task], resamples, seed) for task in order}
    groups: dict[str, list[_Row]] = {}
    for task in order:
        groups.setdefault(by_task[task][0].group, []).append(rows[task])
    means = {group: _mean_row(members) for group, members in groups.items()}
    return CkaReport(
        tasks=tuple(_summary(task, row, states) for task, row in rows.items()),
        groups=tuple(_summary(group, row, states) for group, row in means.items()),
        difference=_difference(means, states),
    )


def full_matrix(sample: CkaSample) -> np.ndarray:
    """One sample's CKA between all pairs of its states [states, states]; NaN where it is not defined."""
    distinct = np.empty((sample.distinct, sample.distinct))
    rows, columns = np.triu_indices(sample.distinct)
    distinct[rows, columns] = distinct[columns, rows] = np.array(sample.similarity, dtype=np.float64)
    return distinct[np.ix_(sample.states, sample.states)]


def _task_row(task: str, samples: Sequence[CkaSample], resamples: int, seed: int) -> _Row:
    triangle = np.triu_indices(len(samples[0].states))
    names = list(dict.fromkeys(sample.unit for sample in samples))
    place = {name: index for index, name in enumerate(names)}
    pairs = len(triangle[0])
    columns = np.zeros((len(names), 2 * pairs))  # sums of defined values, and how many there are
    for sample in samples:
        values = full_matrix(sample)[triangle]
        columns[place[sample.unit], :pairs] += np.nan_to_num(values)
        columns[place[sample.unit], pairs:] += ~np.isnan(values)
    units = TaskUnits(
        task=task,
        stratum=np.zeros(len(names), dtype=np.intp),
        strata=("",),
        points=columns[:, 0],
        weight=columns[:, pairs],
        samples=(),
    )
    sums = bootstrap_sums(units, columns, resamples=resamples, seed=seed)[:, 0]
    return _Row(
        samples=len(samples),
        units=len(names),
        distinct=float(np.mean([sample.distinct for sample in samples])),
        estimate=_ratio(columns.sum(axis=0)),
        draws=_ratio(sums),
    )


def _ratio(sums: np.ndarray) -> np.ndarray:
    """[..., 2 * pairs] sums and counts -> [..., pairs] means."""
    total, count = np.split(sums, 2, axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _mean_row(rows: Sequence[_Row]) -> _Row:
    return _Row(
        samples=sum(row.samples for row in rows),
        units=sum(row.units for row in rows),
        distinct=float(np.mean([row.distinct for row in rows])),
        estimate=np.mean([row.estimate for row in rows], axis=0),
        draws=np.mean([row.draws for row in rows], axis=0),
    )


def _summary(name: str, row: _Row, states: int) -> CkaSummary:
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(row.draws, tails, axis=0, method="inverted_cdf")
    mean, low, high = (_square(values, states) for values in (row.estimate, low, high))
    return CkaSummary(
        name=name,
        samples=row.samples,
        units=row.units,
        layers=states - 1,
        distinct=row.distinct,
        matrix=CkaMatrix(mean=mean, low=low, high=high),
        consecutive=tuple(_interval(mean, low, high, layer - 1, layer) for layer in range(1, states)),
        first=tuple(_interval(mean, low, high, FIRST, layer) for layer in range(1, states)),
    )


def _interval(mean: np.ndarray, low: np.ndarray, high: np.ndarray, row: int, column: int) -> Interval:
    return Interval(float(mean[row, column]), float(low[row, column]), float(high[row, column]))


def _square(values: np.ndarray, states: int) -> np.ndarray:
    """Upper triangle [..., pairs] -> symmetric [..., states, states]."""
    rows, columns = np.triu_indices(states)
    square = np.empty((*values.shape[:-1], states, states))
    square[..., rows, columns] = square[..., columns, rows] = values
    return square


def _difference(groups: Mapping[str, _Row], states: int) -> CkaDifference | None:
    if not {"easy", "hard"} <= set(groups):
        return None
    estimate = _square(groups["hard"].estimate - groups["easy"].estimate, states)
    draws = groups["hard"].draws - groups["easy"].draws  # tasks are drawn independently
    index = np.empty((states, states), dtype=np.intp)
    rows, columns = np.triu_indices(states)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))

    def curve(pairs: Sequence[tuple[int, int]]) -> tuple[Interval, ...]:
        return tuple(Interval.from_draws(float(estimate[pair]), draws[:, index[pair]]) for pair in pairs)

    return CkaDifference(
        consecutive=curve([(layer - 1, layer) for layer in range(1, states)]),
        first=curve([(FIRST, layer) for layer in range(1, states)]),
        entered=curve([(0, layer) for layer in range(1, states)]),
    )
