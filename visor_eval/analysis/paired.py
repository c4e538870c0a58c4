"""Is one model better than another on the same samples? Paired intervals, permutation tests, correction for many.

Interval: both models' scores are recomputed on the same resampled units. Test: if the two models were interchangeable
on every unit, exchanging their outcomes on any of the units would change nothing but the sign of what these add to the
difference; the p-value says how rarely such exchanges give a difference as large as the observed one. It is exact where
few units differ (for right-or-wrong outcomes it then equals McNemar's exact test), sampled otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, score_draws
from visor_eval.analysis.scores import TaskUnits, task_units
from visor_eval.records import SampleRecord

EXACT_UNITS = 14  # all 2^14 exchanges are tried up to here
EXCHANGES = 20_000  # drawn above that
_TOLERANCE = 1e-9  # sums in another order are the same sum

Pair = tuple[Sequence[SampleRecord], Sequence[SampleRecord]]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two models on the same samples.

    Attributes:
        difference: score of the second less that of the first, 0..100 points.
        p_value: two-sided, not corrected for other comparisons (``holm``).
        units: resampling units compared.
        changed: units on which the two models differ.
    """

    difference: Interval
    p_value: float
    units: int
    changed: int


def paired_units(left: Sequence[SampleRecord], right: Sequence[SampleRecord]) -> tuple[TaskUnits, TaskUnits]:
    """One task of two runs as units in the same order.

    Raises:
        ValueError: a document occurs in one of them only, or has another unit there.
    """
    by_document = {sample.doc_id: sample for sample in right}
    missing = {sample.doc_id for sample in left} ^ set(by_document)
    if missing:
        raise ValueError(f"{len(missing)} documents occur in one of the two runs only, such as {min(missing)}")
    first, second = task_units(left), task_units([by_document[sample.doc_id] for sample in left])
    if [_documents(unit) for unit in first.samples] != [_documents(unit) for unit in second.samples]:
        raise ValueError("the two runs group their samples into different units")
    return first, second


def compare_group(tasks: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED) -> PairedTest:
    """Compare two runs on the unweighted mean of several tasks; tasks without a unit to score are left out.

    Args:
        tasks: for each task the samples of the first and of the second run.
        resamples: number of bootstrap samples.
        seed: seed of the draws.

    Raises:
        ValueError: nothing to compare, or samples that do not pair up.
    """
    pairs = [paired_units(left, right) for left, right in tasks]
    return compare_units([pair for pair in pairs if pair[0].strata], resamples=resamples, seed=seed)


def compare_units(
    pairs: Sequence[tuple[TaskUnits, TaskUnits]], *, resamples: int = RESAMPLES, seed: int = SEED
) -> PairedTest:
    """As ``compare_group``, for units that are already in the same order."""
    if not pairs:
        raise ValueError("nothing to compare: no task with a unit to score")
    added = np.concatenate([_contributions(left, right) for left, right in pairs]) / len(pairs)
    draws = np.mean(
        [
            score_draws(right, resamples=resamples, seed=seed) - score_draws(left, resamples=resamples, seed=seed)
            for left, right in pairs
        ],
        axis=0,
    )
    changed = added[added != 0]
    return PairedTest(
        difference=Interval.from_draws(float(added.sum()), draws),
        p_value=exchange_p_value(changed, seed=seed),
        units=len(added),
        changed=len(changed),
    )


def exchange_p_value(added: np.ndarray, *, seed: int = SEED) -> float:
    """Two-sided p-value of the sum of ``added`` [units] when each unit's sign is a coin's."""
    added = added[added != 0]
    observed = abs(added.sum()) * (1 - _TOLERANCE)
    if len(added) == 0:
        return 1.0
    if len(added) <= EXACT_UNITS:
        signs = 1 - 2 * (np.arange(2 ** len(added))[:, None] >> np.arange(len(added)) & 1)
        return float((np.abs(signs @ added) >= observed).mean())
    generator, reached = np.random.default_rng(seed), 0
    for _ in range(EXCHANGES // 1000):
        signs = 1 - 2 * generator.integers(0, 2, (1000, len(added)), dtype=np.int8)
        reached += int((np.abs(signs @ added) >= observed).sum())
    return (1 + reached) / (1 + EXCHANGES)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values in the given order, NaN left out of the count and kept.

    Rejecting what stays below a level bounds the chance of any false rejection among all by that level, whatever the
    dependence between the tests.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, floor = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(known):
        floor = max(floor, min(1.0, p * (len(known) - rank)))
        adjusted[index] = floor
    return adjusted


def _documents(unit: Sequence[SampleRecord]) -> tuple[str, ...]:
    return tuple(sample.doc_id for sample in unit)


def _contributions(left: TaskUnits, right: TaskUnits) -> np.ndarray:
    """What each unit adds to the difference of the two scores [units]; their sum is the difference."""
    weights = np.bincount(left.stratum, weights=left.weight)
    return 100.0 * (right.points - left.points) / weights[left.stratum] / len(left.strata)
