"""One comparable 0-100 score per task, recomputed from samples (docs/harness.md).

What lmms-eval's ``process_results`` returns for a sample becomes a contribution (0..1), a resampling unit and a stratum
(``sample_score``); a task's score is then a mean over samples, or for MME and MMStar a mean over categories. MME counts
question pairs: accuracy plus "both right", over the perception categories that are present, so that all ten give
lmms-eval's perception score divided by 20. Its cognition categories are reported apart.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from visor_eval.records import SampleRecord


class Rule(StrEnum):
    """How a task's score follows from its units."""

    MEAN = "mean"  # mean over samples
    STRATA = "strata"  # mean over categories of the mean within each (MMStar)
    PAIRS = "pairs"  # mean over categories of (accuracy + both right) / 2 of question pairs (MME)


@dataclass(frozen=True, kw_only=True)
class TaskScoring:
    """Where a task's score is found in lmms-eval's per-sample metrics, and how samples make a score."""

    metrics: tuple[str, ...]  # keys, first one present counts; the value is a number or a dictionary with "score"
    rule: Rule = Rule.MEAN
    unit: str | None = None  # key of the resampling unit within that dictionary; None: the sample
    stratum: str | None = None  # key of the category within that dictionary


EXACT_MATCH = TaskScoring(metrics=("exact_match",))
ANLS = TaskScoring(metrics=("anls",))

SCORING: dict[str, TaskScoring] = {
    "realworldqa": EXACT_MATCH,
    "scienceqa_img": EXACT_MATCH,
    "gqa": EXACT_MATCH,
    "mme": TaskScoring(
        metrics=("mme_perception_score", "mme_cognition_score"), rule=Rule.PAIRS, unit="question_id", stratum="category"
    ),
    "mmstar": TaskScoring(metrics=("average",), rule=Rule.STRATA, unit="question_id", stratum="l2_category"),
    "pope": TaskScoring(metrics=("pope_accuracy",)),
    "textvqa_val": EXACT_MATCH,
    "ai2d": TaskScoring(metrics=("exact_match,flexible-extract", "exact_match")),
    "chartqa": TaskScoring(metrics=("relaxed_overall",)),
    "ocrbench": TaskScoring(metrics=("ocrbench_accuracy",)),
    "infovqa_val": ANLS,
    "docvqa_val": ANLS,
}

UNKNOWN_TASK = TaskScoring(metrics=("exact_match", "anls", "relaxed_overall", "accuracy", "acc"))

MME_PERCEPTION = frozenset(
    ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
)


class SampleScore(NamedTuple):
    """One sample's part in its task's score."""

    score: float  # contribution, 0..1
    unit: str  # resampling unit: samples that are only scored together, or the sample itself
    stratum: str | None  # category, or None


def benchmark(task: str) -> str:
    """The benchmark a task belongs to: ``mme_mini`` and ``visor_mini_mme`` are twins of ``mme``."""
    for prefix in ("visor_mini_", "visor_"):
        task = task.removeprefix(prefix)
    return task.removesuffix("_mini").removesuffix("_lite")


def scoring(task: str) -> TaskScoring:
    """How a task is scored; tasks that are not among the twelve are means of a metric that lmms-eval reports."""
    return SCORING.get(benchmark(task), UNKNOWN_TASK)


def sample_score(task: str, metrics: Mapping[str, object], doc_id: str | int = "") -> SampleScore:
    """Read one sample's contribution out of what lmms-eval's ``process_results`` returned for it.

    Args:
        task: task name as lmms-eval knows it.
        metrics: metric name -> number, or dictionary with ``score`` (and question id, category); as in the logged
            samples, other keys are ignored.
        doc_id: the document's index; the resampling unit where the task has no other.

    Raises:
        ValueError: none of the task's metrics is there, or its value is no number in 0..1.
    """
    rule = scoring(task)
    for key in rule.metrics:
        if key in metrics:
            value = metrics[key]
            details: Mapping[str, object] = value if isinstance(value, Mapping) else {}
            number = details.get("score", details.get(key)) if isinstance(value, Mapping) else value
            unit = details.get(rule.unit, doc_id) if rule.unit else doc_id
            stratum = details.get(rule.stratum) if rule.stratum else None
            return SampleScore(_unit_interval(number, task, key), str(unit), None if stratum is None else str(stratum))
    raise ValueError(
        f"task {task}, sample {doc_id}: none of the metrics {', '.join(rule.metrics)} in {sorted(map(str, metrics))}"
    )


def _unit_interval(value: object, task: str, key: str) -> float:
    if not isinstance(value, (bool, int, float, np.number)) or not 0.0 <= float(value) <= 1.0:  # NaN fails here too
        raise ValueError(f"task {task}: {key} must be a number in 0..1, got {value!r}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class TaskUnits:
    """A task's resampling units as numbers; every aggregate is a function of sums over units within strata.

    Attributes:
        task: task name.
        stratum: [units] index into ``strata``.
        strata: names of the strata; one empty name where the task is not stratified.
        points: [units] score points of the unit (sum over its samples, or the pair's score).
        weight: [units] what the points are out of (samples, or 1 per pair).
        samples: the samples of each unit.
        incomplete: MME pairs left out because one of the two questions is missing.
    """

    task: str
    stratum: np.ndarray
    strata: tuple[str, ...]
    points: np.ndarray
    weight: np.ndarray
    samples: tuple[tuple[SampleRecord, ...], ...]
    incomplete: int = 0

    def score(self, sums: np.ndarray) -> np.ndarray:
        """Score, 0..100, from sums of (points, weight) within strata: [..., strata, 2] -> [...]."""
        return 100.0 * (sums[..., 0] / sums[..., 1]).mean(axis=-1)

    def sums(self) -> np.ndarray:
        """Sums of (points, weight) within strata over the observed units: [strata, 2]."""
        columns = np.stack([self.points, self.weight], axis=1)
        return np.stack([columns[self.stratum == index].sum(axis=0) for index in range(len(self.strata))])


def task_units(samples: Sequence[SampleRecord], *, cognition: bool = False) -> TaskUnits:
    """Group one task's samples into resampling units.

    Args:
        samples: samples of one task and one run.
        cognition: MME only: take the cognition categories instead of the perception ones.

    Raises:
        ValueError: no samples, samples of several tasks, or a document that occurs twice.
    """
    tasks = sorted({sample.task for sample in samples})
    if len(tasks) != 1:
        raise ValueError(f"expected samples of one task, got {tasks or 'none'}")
    twice = [doc for doc, times in Counter(sample.doc_id for sample in samples).items() if times > 1]
    if twice:
        raise ValueError(f"task {tasks[0]}: documents {twice[:3]} occur more than once; samples of several runs?")
    rule = scoring(tasks[0]).rule
    if rule is Rule.PAIRS:
        samples = [sample for sample in samples if (sample.stratum in MME_PERCEPTION) != cognition]
    grouped: dict[tuple[str, str], list[SampleRecord]] = {}
    for sample in samples:
        stratum = "" if rule is Rule.MEAN else sample.stratum or ""
        grouped.setdefault((stratum, sample.unit), []).append(sample)
    incomplete = 0
    if rule is Rule.PAIRS:
        pairs = {key: members for key, members in grouped.items() if len(members) == 2}
        incomplete, grouped = len(grouped) - len(pairs), pairs
    strata = tuple(sorted({stratum for stratum, _ in grouped}))
    return TaskUnits(
        task=tasks[0],
        stratum=np.array([strata.index(stratum) for stratum, _ in grouped], dtype=np.intp),
        strata=strata,
        points=np.array([_points(members, rule) for members in grouped.values()], dtype=np.float64),
        weight=np.array([1 if rule is Rule.PAIRS else len(members) for members in grouped.values()], dtype=np.float64),
        samples=tuple(tuple(members) for members in grouped.values()),
        incomplete=incomplete,
    )


def _points(members: Sequence[SampleRecord], rule: Rule) -> float:
    total = sum(sample.score for sample in members)
    return (total / 2 + (total == 2)) / 2 if rule is Rule.PAIRS else total


def task_score(samples: Sequence[SampleRecord]) -> float:
    """The task's score, 0..100; NaN where no unit can be scored (MME without a complete perception pair)."""
    units = task_units(samples)
    return float(units.score(units.sums())) if units.strata else math.nan


def mme_cognition(samples: Sequence[SampleRecord]) -> float:
    """MME's cognition score on the same 0..100 scale (all four categories: score / 8), NaN where there is none."""
    units = task_units(samples, cognition=True)
    return float(units.score(units.sums())) if units.strata else math.nan


def group_score(task_scores: Sequence[float]) -> float:
    """A group's score: unweighted mean of its tasks."""
    if not task_scores:
        raise ValueError("a group needs at least one task")
    return sum(task_scores) / len(task_scores)
