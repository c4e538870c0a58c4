"""Everything a table says about one run: per task and per group, scores, layers, cost and savings with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, score_draws
from visor_eval.analysis.savings import all_units, has_cost, saving_draws
from visor_eval.analysis.scores import Rule, mme_cognition, scoring, task_score, task_units
from visor_eval.records import Accounting, SampleRecord

ACCOUNTINGS = tuple(Accounting)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One row: a task, a group, or all tasks."""

    name: str
    samples: int
    score: Interval  # 0..100
    chance: float | None  # 0..100, image-blind
    layers: float | None  # mean number of self-attention layers over samples (groups: over tasks)
    flops: float | None  # mean exact FLOPs per sample (groups: over tasks)
    flops_dense: float | None  # the same for dense
    saving: Mapping[str, Interval]  # accounting -> saving; empty where costs are unknown
    cognition: float | None = None  # MME only, 0..100
    incomplete: int = 0  # MME pairs left out because a question is missing


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run, summarised."""

    tasks: tuple[Summary, ...]
    groups: tuple[Summary, ...]
    overall: Summary


@dataclass(frozen=True)
class _Row:
    summary: Summary
    score_draws: np.ndarray
    saving_draws: Mapping[str, np.ndarray]


def summarise(
    samples: Sequence[SampleRecord],
    *,
    tasks: Sequence[str] | None = None,
    chance: Mapping[str, float] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> RunSummary:
    """Summarise the samples of one run.

    Args:
        samples: samples of one run.
        tasks: order of the rows; default: as the tasks occur. Groups are the samples' own, in order of occurrence.
        chance: task -> image-blind chance level, 0..100.
        resamples: number of bootstrap samples.
        seed: seed of the draws.

    Raises:
        ValueError: no samples.
    """
    by_task: dict[str, list[SampleRecord]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    if not by_task:
        raise ValueError("no samples to summarise")
    order = [task for task in tasks if task in by_task] if tasks is not None else []
    order += [task for task in by_task if task not in order]
    rows = {task: _task_row(by_task[task], (chance or {}).get(task), resamples, seed) for task in order}
    groups: dict[str, list[_Row]] = {}
    for task in order:
        groups.setdefault(by_task[task][0].group, []).append(rows[task])
    return RunSummary(
        tasks=tuple(row.summary for row in rows.values()),
        groups=tuple(_mean_row(name, members) for name, members in groups.items()),
        overall=_mean_row("all", list(rows.values())),
    )


def _task_row(samples: list[SampleRecord], chance: float | None, resamples: int, seed: int) -> _Row:
    units = task_units(samples)
    draws = score_draws(units, resamples=resamples, seed=seed)
    saving: dict[str, Interval] = {}
    drawn: dict[str, np.ndarray] = {}
    costs = [sample.cost for sample in samples if sample.cost is not None]
    if has_cost(samples):
        everything = all_units(samples)
        estimates, resampled = saving_draws(everything, ACCOUNTINGS, resamples=resamples, seed=seed)
        for accounting, estimate, drawn_one in zip(ACCOUNTINGS, estimates, resampled, strict=True):
            drawn[accounting] = drawn_one
            saving[accounting] = Interval.from_draws(estimate.item(), drawn_one)
    else:
        costs = []
    cognition = mme_cognition(samples) if scoring(samples[0].task).rule is Rule.PAIRS else math.nan
    summary = Summary(
        name=samples[0].task,
        samples=len(samples),
        score=Interval.from_draws(task_score(samples), draws),
        chance=chance,
        layers=fmean(cost.self_attention_layers for cost in costs) if costs else None,
        flops=fmean(cost.total() for cost in costs) if costs else None,
        flops_dense=fmean(cost.dense_total() for cost in costs) if costs else None,
        saving=saving,
        cognition=None if math.isnan(cognition) else cognition,
        incomplete=units.incomplete,
    )
    return _Row(summary, draws, drawn)


def _mean_row(name: str, rows: Sequence[_Row]) -> Summary:
    """Unweighted mean over tasks of everything; a column that one task lacks is left empty."""
    members = [row.summary for row in rows]
    saving = {}
    if all(member.saving for member in members):
        for accounting in ACCOUNTINGS:
            saving[accounting] = Interval.from_draws(
                fmean(member.saving[accounting].estimate for member in members),
                np.mean([row.saving_draws[accounting] for row in rows], axis=0),
            )
    return Summary(
        name=name,
        samples=sum(member.samples for member in members),
        score=Interval.from_draws(
            fmean(member.score.estimate for member in members), np.mean([row.score_draws for row in rows], axis=0)
        ),
        chance=_mean([member.chance for member in members]),
        layers=_mean([member.layers for member in members]),
        flops=_mean([member.flops for member in members]),
        flops_dense=_mean([member.flops_dense for member in members]),
        saving=saving,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
