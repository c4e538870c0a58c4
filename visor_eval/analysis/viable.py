"""Which subsets of the candidate layers are worth training (supplement S1): ranking, proposal, three observations.

Works on a sweep over many or all subsets. The measure is the share of samples whose reference a configuration produces
whole (exact match by teacher forcing), since answers are not generated for hundreds of configurations. A sweep that
dropped hopeless configurations on the way leaves them out of everything here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, bootstrap_sums
from visor_eval.analysis.scores import TaskUnits, benchmark
from visor_eval.records import SweepSample

Configuration = tuple[int, ...]
KEPT = 13


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One subset of the candidates."""

    configuration: Configuration
    accuracy: Mapping[str, float]  # benchmark -> share of whole answers, 0..100
    relative: float  # mean over benchmarks of the accuracy divided by that benchmark's best, 0..100 (figure S1)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One of the supplement's three, as numbers."""

    name: str
    meaning: str  # what is subtracted from what, in points of accuracy
    values: Mapping[str, Interval]  # group of tasks -> mean over its tasks with a bootstrap interval over samples


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search found."""

    samples: int
    candidates: tuple[int, ...]
    groups: Mapping[str, tuple[str, ...]]  # group -> its benchmarks
    ranked: tuple[Ranked, ...]  # best first
    proposed: tuple[Configuration, ...]  # viable list, cheapest first
    observations: tuple[Observation, ...]


def search(samples: Sequence[SweepSample], *, keep: int = KEPT, resamples: int = RESAMPLES, seed: int = SEED) -> Search:
    """Rank the configurations of a sweep, propose ``keep`` of them, and test the supplement's observations.

    Raises:
        ValueError: no samples, or samples with different configurations.
    """
    table = _Table.of(samples)
    accuracy = table.accuracy()  # [tasks, configurations], 0..100
    best = accuracy.max(axis=1, keepdims=True)
    relative = np.divide(accuracy, best, out=np.ones_like(accuracy), where=best > 0)
    worth = relative.mean(axis=0)
    order = sorted(range(len(table.configurations)), key=lambda index: (-worth[index], *_cost(table, index)))
    ranked = tuple(
        Ranked(
            configuration=table.configurations[index],
            accuracy=dict(zip(table.tasks, accuracy[:, index].tolist(), strict=True)),
            relative=100.0 * float(worth[index]),
        )
        for index in order
    )
    return Search(
        samples=len(samples),
        candidates=table.candidates,
        groups={group: tuple(table.tasks[index] for index in tasks) for group, tasks in table.groups.items()},
        ranked=ranked,
        proposed=propose(table.configurations, relative, table.candidates, keep=keep),
        observations=_observations(table, resamples, seed),
    )


def propose(
    configurations: Sequence[Configuration], relative: np.ndarray, candidates: Sequence[int], *, keep: int = KEPT
) -> tuple[Configuration, ...]:
    """A viable list: the configurations that together serve every task best at every budget, chosen one by one.

    All of them agree on the first candidate layer, since the router reads before any choice: whichever half, with or
    without it, is better on average. Each step adds the configuration that most raises the mean, over tasks and over
    budgets of 1, 2, ... layers, of the best relative accuracy within the budget; among equals, and once
    nothing more is gained, the one with the best mean relative accuracy, then the one with fewer layers.

    Args:
        configurations: the subsets.
        relative: [tasks, configurations] accuracy over the task's best, 0..1.
        candidates: layers to choose from.
        keep: length of the list, or fewer where there are not so many.
    """
    halves = [
        [index for index, each in enumerate(configurations) if each and (candidates[0] in each) is first]
        for first in (True, False)
    ]
    pool = max(filter(None, halves), key=lambda half: relative[:, half].mean())
    sizes = np.array([len(each) for each in configurations])
    budgets = np.arange(1, len(candidates) + 1)
    reach = np.where(sizes[None, :] <= budgets[:, None], 1.0, 0.0)  # [budgets, configurations]
    served = np.zeros((relative.shape[0], len(budgets)))
    worth = relative.mean(axis=0).round(12)
    chosen: list[int] = []
    while pool and len(chosen) < keep:
        gains = {
            index: np.maximum(relative[:, index, None] * reach[None, :, index] - served, 0.0).mean() for index in pool
        }
        index = min(pool, key=lambda each: (-round(gains[each], 12), -worth[each], sizes[each], configurations[each]))
        pool.remove(index)
        chosen.append(index)
        served = np.maximum(served, relative[:, index, None] * reach[None, :, index])
    return tuple(sorted((configurations[index] for index in chosen), key=lambda each: (len(each), each)))


def hopeful(samples: Sequence[SweepSample], *, share: float = 0.5, z: float = 3.0) -> tuple[Configuration, ...]:
    """Configurations that are not surely worse than ``share`` of the best one, in the order of the sweep.

    Compared sample by sample: a configuration is hopeless where even ``z`` standard errors above, its whole answers
    minus ``share`` of the best configuration's stay below zero.
    """
    if not samples:
        raise ValueError("without samples nothing is hopeless")
    hits = np.array([[result.complete for result in sample.results] for sample in samples], dtype=np.float64)
    differences = hits - share * hits[:, [hits.mean(axis=0).argmax()]]
    upper = differences.mean(axis=0) + z * differences.std(axis=0) / math.sqrt(len(samples))
    return tuple(result.configuration for result, bound in zip(samples[0].results, upper, strict=True) if bound >= 0)


@dataclass(frozen=True)
class _Table:
    """Whole answers as numbers."""

    tasks: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]  # group -> indices of its tasks
    configurations: tuple[Configuration, ...]
    candidates: tuple[int, ...]
    hits: tuple[np.ndarray, ...]  # per task [units, configurations]: whole answers
    units: tuple[TaskUnits, ...]

    @classmethod
    def of(cls, samples: Sequence[SweepSample]) -> "_Table":
        if not samples:
            raise ValueError("a search needs samples")
        common = set.intersection(*({result.configuration for result in sample.results} for sample in samples))
        configurations = tuple(r.configuration for r in samples[0].results if r.configuration in common)
        by_task: dict[str, list[SweepSample]] = {}
        for sample in samples:
            by_task.setdefault(benchmark(sample.task), []).append(sample)
        groups: dict[str, list[int]] = {}
        hits, units = [], []
        for index, members in enumerate(by_task.values()):
            groups.setdefault(members[0].group, []).append(index)
            rows: dict[str, np.ndarray] = {}
            sizes: dict[str, int] = {}
            for sample in members:  # a unit's samples stay together
                found = {result.configuration: result.complete for result in sample.results}
                name = f"{sample.stratum} {sample.unit}"
                row = np.array([found[configuration] for configuration in configurations], dtype=np.float64)
                rows[name] = rows.get(name, 0.0) + row
                sizes[name] = sizes.get(name, 0) + 1
            hits.append(np.stack(list(rows.values())))
            units.append(
                TaskUnits(
                    task=members[0].task,
                    stratum=np.zeros(len(rows), dtype=np.intp),
                    strata=("",),
                    points=np.zeros(len(rows)),
                    weight=np.array(list(sizes.values()), dtype=np.float64),
                    samples=(),
                )
            )
        return cls(
            tuple(by_task),
            {group: tuple(members) for group, members in groups.items()},
            configurations,
            tuple(sorted(set().union(*configurations))),
            tuple(hits),
            tuple(units),
        )

    def accuracy(self) -> np.ndarray:
        """[tasks, configurations], 0..100."""
        return np.stack(
            [100.0 * hits.sum(axis=0) / units.weight.sum() for hits, units in zip(self.hits, self.units, strict=True)]
        )

    def contrast(self, weights: np.ndarray, tasks: Sequence[int], resamples: int, seed: int) -> Interval:
        """Mean over ``tasks`` of the weighted sum of accuracies [configurations], in points, with its interval."""
        estimates, draws = [], []
        for index in tasks:
            columns = np.stack([100.0 * self.hits[index] @ weights, self.units[index].weight], axis=1)
            sums = bootstrap_sums(self.units[index], columns, resamples=resamples, seed=seed)[:, 0]
            estimates.append(columns[:, 0].sum() / columns[:, 1].sum())
            draws.append(sums[:, 0] / sums[:, 1])
        return Interval.from_draws(float(np.mean(estimates)), np.mean(draws, axis=0))


def _cost(table: _Table, index: int) -> tuple[int, Configuration]:
    configuration = table.configurations[index]
    return len(configuration), configuration


def _observations(table: _Table, resamples: int, seed: int) -> tuple[Observation, ...]:
    found = []
    everything = {**table.groups, "all": tuple(range(len(table.tasks)))}
    for name, meaning, weights in (
        ("first layer", "without layer 1 minus the same with it", _without_first(table)),
        ("few layers", "one or two layers minus four and more, all with layer 1", _few_layers(table)),
        ("early exit", "the first n candidates minus n spread evenly, n from 2 to all but one", _early(table)),
    ):
        if weights is None:
            continue
        values = {
            group: table.contrast(weights, tasks, resamples, seed)
            for group, tasks in everything.items()
            if group != "all" or len(table.groups) > 1
        }
        found.append(Observation(name=name, meaning=meaning, values=values))
    return tuple(found)


def _without_first(table: _Table) -> np.ndarray | None:
    """Every pair of configurations that differ in the first candidate only, equally."""
    first = table.candidates[0]
    return _difference(
        table,
        [
            (each, tuple(sorted((first, *each))))
            for each in table.configurations
            if first not in each and tuple(sorted((first, *each))) in table.configurations
        ],
    )


def _few_layers(table: _Table) -> np.ndarray | None:
    """Mean of the small configurations against the mean of the large ones."""
    first = table.candidates[0]
    few = [each for each in table.configurations if first in each and len(each) <= 2]
    many = [each for each in table.configurations if first in each and len(each) >= 4]
    if not few or not many:
        return None
    weights = np.zeros(len(table.configurations))
    for members, sign in ((few, 1.0), (many, -1.0)):
        for each in members:
            weights[table.configurations.index(each)] = sign / len(members)
    return weights


def _early(table: _Table) -> np.ndarray | None:
    """For each size the early-exit shape against the uniform spread."""
    pairs = []
    for size in range(2, len(table.candidates)):
        early = table.candidates[:size]
        spread = uniform(table.candidates, size)
        if early != spread and early in table.configurations and spread in table.configurations:
            pairs.append((early, spread))
    return _difference(table, pairs)


def uniform(candidates: Sequence[int], size: int) -> Configuration:
    """``size`` candidates from the first to the last at even distances."""
    step = (len(candidates) - 1) / max(1, size - 1)
    return tuple(candidates[math.floor(step * place + 0.5)] for place in range(size))


def _difference(table: _Table, pairs: Sequence[tuple[Configuration, Configuration]]) -> np.ndarray | None:
    if not pairs:
        return None
    weights = np.zeros(len(table.configurations))
    for one, other in pairs:
        weights[table.configurations.index(one)] += 1.0 / len(pairs)
        weights[table.configurations.index(other)] -= 1.0 / len(pairs)
    return weights
