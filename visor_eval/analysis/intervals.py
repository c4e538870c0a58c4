"""Bootstrap intervals over task units, recomputing the metric.

Units (samples, MME question pairs) are drawn with replacement within their stratum; every aggregate is a function of
sums over the drawn units. The draws depend on the seed and the benchmark only, so that two models on the same samples
see the same draws (paired differences), and a task's interval does not depend on which other tasks were run.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from visor_eval.analysis.scores import TaskUnits, benchmark, group_score

RESAMPLES = 2000
LEVEL = 0.95
SEED = 20_260_323

_CHUNK = 4_000_000  # drawn units at once, to bound memory


@dataclass(frozen=True)
class Interval:
    """A number with its bootstrap percentile interval.

    Attributes:
        estimate: on the observed samples.
        low: lower end.
        high: upper end.
        level: coverage aimed at, e.g. 0.95.
    """

    estimate: float
    low: float
    high: float
    level: float = LEVEL

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly above or below ``value``."""
        return value < self.low or value > self.high

    def scaled(self, factor: float) -> "Interval":
        """The same in another unit (``factor`` > 0)."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor, self.level)

    @classmethod
    def from_draws(cls, estimate: float, draws: np.ndarray, level: float = LEVEL) -> "Interval":
        """Percentile interval; draws that are NaN (nothing to average) are left out."""
        draws = draws[~np.isnan(draws)]
        if draws.size == 0:
            return cls(estimate, math.nan, math.nan, level)
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        return cls(estimate, float(low), float(high), level)


def bootstrap_sums(
    units: TaskUnits, columns: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Sums of ``columns`` over resampled units, within strata.

    Args:
        units: the task's units; only their strata and the benchmark's name matter for the draws.
        columns: [units, columns] what is summed.
        resamples: number of bootstrap samples.
        seed: seed of the draws.

    Returns:
        [resamples, strata, columns]
    """
    if columns.shape[0] != len(units.stratum):
        raise ValueError(f"columns has {columns.shape[0]} rows for {len(units.stratum)} units")
    sizes = tuple(np.bincount(units.stratum, minlength=len(units.strata)).tolist())
    drawn = _times_drawn(benchmark(units.task), sizes, resamples, seed)
    sums = np.empty((resamples, len(units.strata), columns.shape[1]))
    for index, times in enumerate(drawn):
        members = columns[units.stratum == index]
        rows = max(1, _CHUNK // len(members))
        for start in range(0, resamples, rows):
            sums[start : start + rows, index] = times[start : start + rows].astype(np.float64) @ members
    return sums


@lru_cache(maxsize=48)  # a board's tasks, drawn once for all its methods; 50 MB for the largest benchmark
def _times_drawn(task: str, sizes: tuple[int, ...], resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    """How often each unit is drawn: per stratum [resamples, units]; the same for every model on the same samples."""
    generator = np.random.default_rng([seed, zlib.crc32(task.encode())])
    strata = []
    for count in sizes:
        times = np.empty((resamples, count), dtype=np.uint16)
        rows = max(1, _CHUNK // count)
        for start in range(0, resamples, rows):
            size = min(rows, resamples - start)
            drawn = generator.integers(0, count, (size, count), dtype=np.int64)
            drawn += count * np.arange(size)[:, None]
            times[start : start + size] = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        times.setflags(write=False)
        strata.append(times)
    return tuple(strata)


def score_draws(units: TaskUnits, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Resampled task scores, 0..100: [resamples]; empty where the task has no unit."""
    if not units.strata:
        return np.full(resamples, math.nan)
    columns = np.stack([units.points, units.weight], axis=1)
    return units.score(bootstrap_sums(units, columns, resamples=resamples, seed=seed))


def score_interval(units: TaskUnits, *, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """The task's score with its interval."""
    estimate = float(units.score(units.sums())) if units.strata else math.nan
    return Interval.from_draws(estimate, score_draws(units, resamples=resamples, seed=seed))


def group_interval(tasks: Sequence[TaskUnits], *, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """A group's score (unweighted mean of its tasks) with its interval: units are resampled within each task."""
    if not tasks:
        raise ValueError("a group needs at least one task")
    estimate = group_score([float(units.score(units.sums())) if units.strata else math.nan for units in tasks])
    draws = np.mean([score_draws(units, resamples=resamples, seed=seed) for units in tasks], axis=0)
    return Interval.from_draws(estimate, draws)
