"""Numbers that keep their bootstrap draws: sums, means and differences of them stay paired.

The draws depend on the benchmark and the numbers of units only (`intervals.py`), so that the same draw of two models or
configurations holds the same questions. Samples are put into the order of their documents first: two records of the
same questions may list them differently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, bootstrap_sums, score_draws
from visor_eval.analysis.savings import all_units
from visor_eval.analysis.scores import SCORING, benchmark, task_units
from visor_eval.records import SampleRecord

ALL = "all"


@dataclass(frozen=True)
class Drawn:
    """A number on the observed samples, and on resampled ones."""

    estimate: float
    draws: np.ndarray = field(repr=False)  # [resamples]

    def __add__(self, other: "Drawn") -> "Drawn":
        """Draw by draw."""
        return Drawn(self.estimate + other.estimate, self.draws + other.draws)

    def __sub__(self, other: "Drawn") -> "Drawn":
        """Draw by draw: a paired difference where both come from the same questions."""
        return Drawn(self.estimate - other.estimate, self.draws - other.draws)

    def __truediv__(self, other: "Drawn") -> "Drawn":
        """Draw by draw."""
        return Drawn(self.estimate / other.estimate, self.draws / other.draws)

    def plus(self, number: float) -> "Drawn":
        """Shifted by a number that is not drawn."""
        return Drawn(self.estimate + number, self.draws + number)

    def times(self, number: float) -> "Drawn":
        """Scaled by a number that is not drawn."""
        return Drawn(self.estimate * number, self.draws * number)

    @property
    def interval(self) -> Interval:
        """With its 95 % percentile interval."""
        return Interval.from_draws(self.estimate, self.draws)

    @classmethod
    def mean(cls, numbers: Sequence["Drawn"]) -> "Drawn":
        """Plain mean, draw by draw."""
        return cls(float(np.mean([one.estimate for one in numbers])), np.mean([one.draws for one in numbers], axis=0))

    @classmethod
    def spread(cls, numbers: Sequence["Drawn"]) -> "Drawn":
        """Largest less smallest, in each draw anew; the draws lie too high where the numbers hardly differ."""
        values = np.stack([one.draws for one in numbers])
        estimates = [one.estimate for one in numbers]
        return cls(max(estimates) - min(estimates), values.max(axis=0) - values.min(axis=0))


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One quantity of one model over some tasks.

    Attributes:
        tasks: task -> the quantity, in the order of the tables.
        groups: group -> its tasks.
        asked: task -> the documents, sorted.
    """

    tasks: Mapping[str, Drawn]
    groups: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, tuple[str, ...]] = field(repr=False)

    def members(self, name: str) -> tuple[str, ...]:
        """The tasks of a group, of ``all``, or the task itself."""
        if name == ALL:
            return tuple(self.tasks)
        return self.groups.get(name, (name,))

    def of(self, name: str) -> Drawn:
        """A task, a group or ``all``: the plain mean over tasks.

        Raises:
            KeyError: nothing of that name.
        """
        return Drawn.mean([self.tasks[task] for task in self.members(name)])

    def less(self, other: "Drawing", name: str) -> Drawn:
        """The paired difference on a task, a group or ``all``.

        Raises:
            ValueError: the two were asked different questions.
        """
        here = sorted(self.members(name))
        there = sorted(other.members(name))
        if here != there or any(self.asked[task] != other.asked[task] for task in here):
            raise ValueError(f"{name}: the two answered different questions, so that they cannot be compared")
        return self.of(name) - other.of(name)


def scores(samples: Sequence[SampleRecord], *, resamples: int = RESAMPLES, seed: int = SEED) -> Drawing:
    """Task scores, 0..100, of one model; units and metrics are those of all tables."""

    def score(members: Sequence[SampleRecord]) -> Drawn:
        units = task_units(members)
        draws = score_draws(units, resamples=resamples, seed=seed)
        return Drawn(float(units.score(units.sums())) if units.strata else float("nan"), draws)

    return _drawing(samples, score)


def means(
    samples: Sequence[SampleRecord],
    value: Callable[[SampleRecord], float],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Drawing:
    """Mean over a task's samples of any number, such as a cost or a number of layers."""

    def mean(members: Sequence[SampleRecord]) -> Drawn:
        units = all_units(members)
        columns = np.array([[sum(value(one) for one in unit), len(unit)] for unit in units.samples], dtype=np.float64)
        sums = bootstrap_sums(units, columns, resamples=resamples, seed=seed).sum(axis=1)
        total = columns.sum(axis=0)
        return Drawn(float(total[0] / total[1]), sums[:, 0] / sums[:, 1])

    return _drawing(samples, mean)


def _drawing(samples: Sequence[SampleRecord], quantity: Callable[[Sequence[SampleRecord]], Drawn]) -> Drawing:
    by_task: dict[str, list[SampleRecord]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    if not by_task:
        raise ValueError("no samples")
    known = list(SCORING)
    place = {task: known.index(name) if (name := benchmark(task)) in known else len(known) for task in by_task}
    groups: dict[str, tuple[str, ...]] = {}
    ordered = {task: sorted(by_task[task], key=_document) for task in sorted(by_task, key=lambda task: place[task])}
    for task, members in ordered.items():
        groups[members[0].group] = (*groups.get(members[0].group, ()), task)
    return Drawing(
        tasks={task: quantity(members) for task, members in ordered.items()},
        groups=groups,
        asked={task: tuple(sample.doc_id for sample in members) for task, members in ordered.items()},
    )


def _document(sample: SampleRecord) -> tuple[int, str]:
    return (int(sample.doc_id) if sample.doc_id.isdigit() else -1, sample.doc_id)
