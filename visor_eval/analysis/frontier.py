"""Which methods are worth their cost: the Pareto front of score against cost, with its bootstrap band.

A method is on the front when no other is at least as accurate at no more cost and better in one of the two. The front
is drawn as the best score that can be had for a budget; its band repeats that on resampled units. The draws depend on
the benchmark only (`analysis.intervals`), so that all methods see the same resampled questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from visor_eval.analysis.intervals import LEVEL, RESAMPLES, SEED, bootstrap_sums, score_draws
from visor_eval.analysis.savings import all_units
from visor_eval.analysis.scores import group_score, task_score, task_units
from visor_eval.records import Accounting, SampleRecord

GRID_POINTS = 160


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One method over one group of tasks.

    Attributes:
        name: the method.
        cost: mean cost per sample, plain mean over tasks (FLOPs).
        score: 0..100, plain mean over tasks.
        cost_draws: [resamples] the same, resampled.
        score_draws: [resamples] the same, resampled.
    """

    name: str
    cost: float
    score: float
    cost_draws: np.ndarray = field(repr=False)
    score_draws: np.ndarray = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Front:
    """The front of several candidates.

    Attributes:
        members: names on the front, cheapest first.
        membership: name -> share of the draws in which it is on the front, 0..1.
        budgets: [points] costs at which the front is given, ascending.
        best: [points] best score for at most that cost.
        low: [points] lower end of its interval.
        high: [points] upper end of its interval.
    """

    members: tuple[str, ...]
    membership: Mapping[str, float]
    budgets: np.ndarray
    best: np.ndarray
    low: np.ndarray
    high: np.ndarray


def candidate(
    name: str,
    tasks: Mapping[str, Sequence[SampleRecord]],
    *,
    accounting: Accounting | str = Accounting.EXACT,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Candidate:
    """A method's place over a group of tasks.

    Args:
        name: the method.
        tasks: task -> its samples; each sample has a cost.
        accounting: which cost.
        resamples: number of bootstrap samples.
        seed: seed of the draws.

    Raises:
        ValueError: no task, or a sample whose cost is unknown.
    """
    if not tasks:
        raise ValueError("a candidate needs at least one task")
    drawn = [_cost_draws(samples, accounting, resamples, seed) for samples in tasks.values()]
    scores = [score_draws(task_units(samples), resamples=resamples, seed=seed) for samples in tasks.values()]
    return Candidate(
        name=name,
        cost=float(np.mean([mean for mean, _ in drawn])),
        score=group_score([task_score(samples) for samples in tasks.values()]),
        cost_draws=np.mean([draws for _, draws in drawn], axis=0),
        score_draws=np.mean(scores, axis=0),
    )


def pareto_front(candidates: Sequence[Candidate], *, level: float = LEVEL) -> Front:
    """The front of ``candidates`` with its bootstrap band.

    Args:
        candidates: methods over the same tasks, with equally many draws.
        level: coverage of the band.

    Raises:
        ValueError: no candidates.
    """
    if not candidates:
        raise ValueError("a front needs at least one candidate")
    costs = np.array([[one.cost for one in candidates]])
    scores = np.array([[one.score for one in candidates]])
    drawn_costs = np.stack([one.cost_draws for one in candidates], axis=1)
    drawn_scores = np.stack([one.score_draws for one in candidates], axis=1)
    on_front = ~_dominated(costs, scores)[0]
    share = (~_dominated(drawn_costs, drawn_scores)).mean(axis=0)
    budgets = np.unique(np.concatenate([np.geomspace(costs.min(), costs.max(), GRID_POINTS), costs[0]]))
    drawn = _best_within(budgets, drawn_costs, drawn_scores)
    low, high = np.full(len(budgets), np.nan), np.full(len(budgets), np.nan)
    for index in range(len(budgets)):
        found = drawn[:, index][~np.isnan(drawn[:, index])]  # a draw may cost a little more than the cheapest budget
        if found.size:
            low[index], high[index] = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Front(
        members=tuple(
            one.name
            for keep, one in sorted(zip(on_front, candidates, strict=True), key=lambda pair: pair[1].cost)
            if keep
        ),
        membership={one.name: float(value) for one, value in zip(candidates, share, strict=True)},
        budgets=budgets,
        best=_best_within(budgets, costs, scores)[0],
        low=low,
        high=high,
    )


def _cost_draws(
    samples: Sequence[SampleRecord], accounting: Accounting | str, resamples: int, seed: int
) -> tuple[float, np.ndarray]:
    """Mean cost of a task's samples, and resampled: (float, [resamples])."""
    units = all_units(samples)
    columns = np.array([[sum(_cost(s, accounting) for s in members), len(members)] for members in units.samples])
    sums = bootstrap_sums(units, columns, resamples=resamples, seed=seed).sum(axis=1)
    total = columns.sum(axis=0)
    return float(total[0] / total[1]), sums[:, 0] / sums[:, 1]


def _cost(sample: SampleRecord, accounting: Accounting | str) -> float:
    if sample.cost is None:
        raise ValueError(f"{sample.task} {sample.doc_id}: the cost of this sample is unknown")
    return sample.cost.total(accounting)


def _dominated(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[draws, candidates] twice -> whether another candidate of the same draw is no worse in both, better in one."""
    result = np.zeros(costs.shape, dtype=bool)
    for index in range(costs.shape[1]):
        mine_cost, mine_score = costs[:, index, None], scores[:, index, None]
        no_worse = (costs <= mine_cost) & (scores >= mine_score)
        better = (costs < mine_cost) | (scores > mine_score)
        result[:, index] = (no_worse & better).any(axis=1)
    return result


def _best_within(budgets: np.ndarray, costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[draws, budgets]: best score among the candidates that cost at most the budget; NaN where none does."""
    cheapest_first = np.argsort(costs, axis=1, kind="stable")
    ordered = np.take_along_axis(costs, cheapest_first, axis=1)
    best = np.maximum.accumulate(np.take_along_axis(scores, cheapest_first, axis=1), axis=1)
    result = np.full((len(costs), len(budgets)), np.nan)
    for row in range(len(costs)):
        count = np.searchsorted(ordered[row], budgets, side="right")
        result[row] = np.where(count > 0, best[row][np.maximum(count, 1) - 1], np.nan)
    return result
