"""How much a method saves against the dense model on the same samples.

The saving of a task is the ratio of mean costs, mean(dense) / mean(method), never a mean of ratios; groups and the
overall number are plain means over tasks, as in the paper. Samples without a cost (imported logs) give no saving.
"""

import math
from collections.abc import Sequence

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, bootstrap_sums
from visor_eval.analysis.scores import TaskUnits
from visor_eval.records import Accounting, SampleRecord


def all_units(samples: Sequence[SampleRecord]) -> TaskUnits:
    """Every sample of a task as units for cost: pairs stay together, MME's cognition samples cost like the others."""
    if not samples:
        raise ValueError("expected samples of one task, got none")
    strata = tuple(sorted({sample.stratum or "" for sample in samples}))
    grouped: dict[tuple[str, str], list[SampleRecord]] = {}
    for sample in samples:
        grouped.setdefault((sample.stratum or "", sample.unit), []).append(sample)
    return TaskUnits(
        task=samples[0].task,
        stratum=np.array([strata.index(stratum) for stratum, _ in grouped], dtype=np.intp),
        strata=strata,
        points=np.array([sum(s.score for s in members) for members in grouped.values()], dtype=np.float64),
        weight=np.array([len(members) for members in grouped.values()], dtype=np.float64),
        samples=tuple(tuple(members) for members in grouped.values()),
    )


def has_cost(samples: Sequence[SampleRecord]) -> bool:
    """Whether the cost of every sample is known."""
    return bool(samples) and all(sample.cost is not None for sample in samples)


def saving_draws(
    units: TaskUnits,
    accountings: Sequence[Accounting | str],
    *,
    causal: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[np.ndarray, np.ndarray]:
    """A task's savings on the observed samples, and resampled: ([accountings], [accountings, resamples])."""
    columns = np.array([_costs(members, accountings, causal=causal) for members in units.samples])
    sums = bootstrap_sums(units, columns, resamples=resamples, seed=seed).sum(axis=1)
    observed, resampled = columns.sum(axis=0), sums.T  # dense above, method below
    return ratios(*np.split(observed, 2)), ratios(*np.split(resampled, 2))


def ratios(dense: np.ndarray | float, method: np.ndarray | float) -> np.ndarray:
    """Dense over method, element by element, of costs of one shape.

    Infinite where only the method costs nothing; 1 where neither costs anything (`paper`, samples without an image).
    """
    nothing = np.where(dense > 0, math.inf, 1.0)
    return np.divide(dense, method, out=nothing, where=method > 0)


def saving_interval(
    units: TaskUnits,
    accounting: Accounting | str,
    *,
    causal: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """A task's saving with its interval.

    Args:
        units: from ``all_units``.
        accounting: ``paper``, ``exact`` or ``end_to_end``.
        causal: count only the causal half of attention.
        resamples: number of bootstrap samples.
        seed: seed of the draws.
    """
    estimates, draws = saving_draws(units, (accounting,), causal=causal, resamples=resamples, seed=seed)
    return Interval.from_draws(estimates[0].item(), draws[0])


def mean_saving_interval(
    tasks: Sequence[TaskUnits],
    accounting: Accounting | str,
    *,
    causal: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Plain mean of several tasks' savings (a group, or all tasks) with its interval; arguments as above."""
    if not tasks:
        raise ValueError("a mean saving needs at least one task")
    pairs = [saving_draws(units, (accounting,), causal=causal, resamples=resamples, seed=seed) for units in tasks]
    estimate = float(np.mean([estimates[0] for estimates, _ in pairs]))
    return Interval.from_draws(estimate, np.mean([draws[0] for _, draws in pairs], axis=0))


def _costs(members: Sequence[SampleRecord], accountings: Sequence[Accounting | str], *, causal: bool) -> list[float]:
    """Sums over the unit's samples: dense by every accounting, then the method by every accounting."""
    sums = [0.0] * (2 * len(accountings))
    for sample in members:
        if sample.cost is None:
            raise ValueError(f"{sample.task} {sample.doc_id}: the cost of this sample is unknown")
        for index, accounting in enumerate(accountings):
            sums[index] += sample.cost.dense_total(accounting, causal=causal)
            sums[index + len(accountings)] += sample.cost.total(accounting, causal=causal)
    return sums
