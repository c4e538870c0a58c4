"""The best configuration of every sample, and what it is worth: against the router, the best fixed one, dense.

A *way* is a way to run the model on every sample: always the same configuration, the oracle's choice, the router's
(`menus.py` has what may be chosen). Scores, intervals and tests are those of all tables (units, strata, recomputed
metrics); costs are `exact`; a group is the plain mean of its tasks.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval, bootstrap_sums, score_draws
from visor_eval.analysis.luck import Luck, LuckDraws, luck_draws, luck_of
from visor_eval.analysis.menus import Configuration, Menu, Option, best_option, menus_of_sweep
from visor_eval.analysis.paired import PairedTest, compare_units, holm, paired_units
from visor_eval.analysis.savings import all_units
from visor_eval.analysis.scores import TaskUnits, task_units
from visor_eval.records import SampleRecord, SweepSample

RIGHT = 0.5  # a sample's contribution from which it counts as answered rightly (ANLS gives 0 or at least this)
_EQUAL = 1 + 1e-9  # costs of the same plan, summed in another order


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the model over a task or group."""

    name: str  # "oracle", "router", "dense", or the configuration's layers
    configuration: Configuration | None  # None: differs from sample to sample, or dense
    score: Interval  # 0..100
    flops: float  # mean decoder prefill per sample (groups: over tasks), router included where one chose
    saving: Interval  # exact, against dense
    layers: float | None  # mean number of self-attention layers; None: dense, all of them


@dataclass(frozen=True, kw_only=True)
class OracleSummary:
    """One task, one group, or all tasks."""

    name: str
    samples: int
    chance: float | None  # image-blind score, 0..100
    fixed: tuple[Way, ...]  # every configuration, in the order of the sweep
    oracle: Way
    best_fixed: Way  # highest score at any cost
    fixed_at_oracle: Way  # highest score among those that cost no more than the oracle
    gain: Interval  # oracle - best_fixed, points; holds luck, see `luck`
    luck: Luck | None  # None: too few configurations
    oracle_share: tuple[float, ...]  # part of the samples for which the oracle takes each configuration, 0..1
    router: Way | None = None  # None: the model has no router
    fixed_at_router: Way | None = None  # highest score among those that cost no more than the router
    regret: Interval | None = None  # oracle - router, points
    router_gain: PairedTest | None = None  # router - fixed_at_router
    router_share: tuple[float, ...] | None = None
    dense: Way | None = None  # where a dense run of the same samples was given


@dataclass(frozen=True, kw_only=True)
class OracleReport:
    """One sweep."""

    configurations: tuple[Configuration, ...]
    tasks: tuple[OracleSummary, ...]
    groups: tuple[OracleSummary, ...]
    overall: OracleSummary
    luck_adjusted: Mapping[str, float]  # task -> p-value of its `luck`, Holm-corrected over the tasks
    router_adjusted: Mapping[str, float]  # task -> p-value of its `router_gain`, likewise


def oracle_report(
    samples: Sequence[SweepSample] | Sequence[Menu],
    *,
    chance: Mapping[str, float] | None = None,
    tasks: Sequence[str] = (),
    dense: Sequence[SampleRecord] = (),
    by_template: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> OracleReport:
    """Everything the oracle's tables and figures say.

    Args:
        samples: of one sweep, answers included; or menus.
        chance: task -> image-blind score, 0..100.
        tasks: order of the tasks; default: as they occur.
        dense: samples of a dense run; tasks whose documents it answered get a dense way.
        by_template: count an advantage that all samples of a question template share as known, not as the sample's
            own, when luck is judged.
        resamples: number of bootstrap samples.
        seed: of everything drawn.

    Raises:
        ValueError: no samples, samples with different configurations, or without scores.
    """
    menus = [sample for sample in samples if isinstance(sample, Menu)]
    menus += menus_of_sweep([sample for sample in samples if isinstance(sample, SweepSample)])
    orders = {tuple(option.configuration for option in menu.options) for menu in menus}
    if len(orders) != 1:
        raise ValueError(f"expected samples with the same configurations, got {len(orders)} different lists")
    configurations = orders.pop()
    by_task: dict[str, list[Menu]] = {}
    for menu in menus:
        by_task.setdefault(menu.sample.task, []).append(menu)
    order = [*(task for task in tasks if task in by_task), *(task for task in by_task if task not in tasks)]
    known = dict(chance or {})
    tables = {task: _Table.of(by_task[task], known.get(task), dense, by_template, resamples, seed) for task in order}
    groups: dict[str, list[_Table]] = {}
    for task in order:
        groups.setdefault(by_task[task][0].sample.group, []).append(tables[task])
    summaries = [tables[task].summary(configurations, seed) for task in order]
    return OracleReport(
        configurations=configurations,
        tasks=tuple(summaries),
        groups=tuple(_Table.mean(name, members).summary(configurations, seed) for name, members in groups.items()),
        overall=_Table.mean("all", list(tables.values())).summary(configurations, seed),
        luck_adjusted=_adjusted(summaries, lambda one: None if one.luck is None else one.luck.p_value),
        router_adjusted=_adjusted(summaries, lambda one: None if one.router_gain is None else one.router_gain.p_value),
    )


def _adjusted(summaries: Sequence[OracleSummary], p_value: Callable[[OracleSummary], float | None]) -> dict[str, float]:
    known = {one.name: p for one in summaries if (p := p_value(one)) is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Ways as columns: every configuration, then the oracle, then the router where there is one."""

    name: str
    samples: int
    chance: float | None
    score: np.ndarray  # [ways]
    score_draws: np.ndarray  # [resamples, ways]
    flops: np.ndarray  # [ways] mean per sample
    saving: np.ndarray  # [ways]
    saving_draws: np.ndarray  # [resamples, ways]
    layers: np.ndarray  # [ways]
    shares: np.ndarray  # [oracle, router][configurations]
    units: tuple[tuple[TaskUnits, ...], ...]  # [tasks][ways], for tests
    luck: tuple[LuckDraws, ...]  # of each task that has one
    routed: bool
    dense_score: float | None
    dense_draws: np.ndarray | None  # [resamples]
    dense_flops: float

    @classmethod
    def of(
        cls,
        menus: Sequence[Menu],
        chance: float | None,
        dense: Sequence[SampleRecord],
        by_template: bool,
        resamples: int,
        seed: int,
    ) -> "_Table":
        """One task."""
        count = len(menus[0].options)
        routed = all(menu.routed is not None for menu in menus)
        chosen = np.array([[best_option(menu.options) for menu in menus]] + [[menu.routed for menu in menus]] * routed)
        every = np.repeat(np.arange(count)[:, None], len(menus), axis=1)
        picks = np.concatenate([every, chosen.astype(np.intp)])  # [ways, samples]
        rows = np.arange(len(menus))
        scores, flops, layers = (
            np.array([[value(option) for option in menu.options] for menu in menus], dtype=np.float64)[rows, picks]
            for value in (_score, _flops, _layers)
        )
        if routed:
            flops[-1] += [menu.router_flops for menu in menus]
        units = tuple(
            task_units([replace(menu.sample, score=float(score)) for menu, score in zip(menus, way, strict=True)])
            for way in scores
        )
        estimate, draws = _score_draws(units, resamples, seed)
        saving, saving_draws = _saving_draws(menus, flops, resamples, seed)
        dense_score, dense_draws = _dense(menus, dense, resamples, seed)
        luck = luck_draws(
            np.array([[option.score >= RIGHT for option in menu.options] for menu in menus]),
            [option.configuration for option in menus[0].options],
            units=[(menu.sample.stratum, menu.sample.unit) for menu in menus],
            strata=[menu.sample.template for menu in menus] if by_template else None,
            resamples=resamples,
            seed=seed + zlib.crc32(menus[0].sample.task.encode()),  # tasks are shuffled independently of each other
        )
        return cls(
            name=menus[0].sample.task,
            samples=len(menus),
            chance=chance,
            score=estimate,
            score_draws=draws,
            flops=flops.mean(axis=1),
            saving=saving,
            saving_draws=saving_draws,
            layers=layers.mean(axis=1),
            shares=np.array([np.bincount(way, minlength=count) / len(menus) for way in picks[count:]]),
            units=(units,),
            luck=() if luck is None else (luck,),
            routed=routed,
            dense_score=dense_score,
            dense_draws=dense_draws,
            dense_flops=float(np.mean([menu.dense_flops for menu in menus])),
        )

    @classmethod
    def mean(cls, name: str, tables: Sequence["_Table"]) -> "_Table":
        """Plain mean over tasks."""
        routed = all(table.routed for table in tables)
        ways = min(len(table.score) for table in tables) if not routed else len(tables[0].score)

        def average(values: Sequence[np.ndarray]) -> np.ndarray:
            return np.mean([value[..., :ways] for value in values], axis=0)

        dense = [table.dense_draws for table in tables if table.dense_draws is not None]
        scores = [table.dense_score for table in tables if table.dense_score is not None]
        chances = [table.chance for table in tables if table.chance is not None]
        return cls(
            name=name,
            samples=sum(table.samples for table in tables),
            chance=float(np.mean(chances)) if len(chances) == len(tables) else None,
            score=average([table.score for table in tables]),
            score_draws=average([table.score_draws for table in tables]),
            flops=average([table.flops for table in tables]),
            saving=average([table.saving for table in tables]),
            saving_draws=average([table.saving_draws for table in tables]),
            layers=average([table.layers for table in tables]),
            shares=np.mean([table.shares[: 1 + routed] for table in tables], axis=0),
            units=tuple(ways for table in tables for ways in table.units),
            luck=tuple(one for table in tables for one in table.luck),
            routed=routed,
            dense_score=float(np.mean(scores)) if len(scores) == len(tables) else None,
            dense_draws=np.mean(dense, axis=0) if len(dense) == len(tables) else None,
            dense_flops=float(np.mean([table.dense_flops for table in tables])),
        )

    def summary(self, configurations: Sequence[Configuration], seed: int) -> OracleSummary:
        """What is said about the task or group."""
        count = len(configurations)
        fixed = tuple(self._way(str(list(layers)), index, layers) for index, layers in enumerate(configurations))
        best = self._best(count, math.inf)
        at_oracle = self._best(count, self.flops[count])
        summary = OracleSummary(
            name=self.name,
            samples=self.samples,
            chance=self.chance,
            fixed=fixed,
            oracle=self._way("oracle", count, None),
            best_fixed=fixed[best],
            fixed_at_oracle=fixed[at_oracle],
            gain=self._difference(count, best),
            luck=luck_of(self.luck) if self.luck else None,
            oracle_share=tuple(self.shares[0].tolist()),
            dense=self._dense_way(),
        )
        if not self.routed:
            return summary
        router = count + 1
        at_router = self._best(count, self.flops[router])
        pairs = [(ways[at_router], ways[router]) for ways in self.units if ways[router].strata]
        return replace(
            summary,
            router=self._way("router", router, None),
            fixed_at_router=fixed[at_router],
            regret=self._difference(count, router),
            router_gain=compare_units(pairs, resamples=len(self.score_draws), seed=seed) if pairs else None,
            router_share=tuple(self.shares[1].tolist()),
        )

    def _best(self, count: int, budget: float) -> int:
        """The configuration with the highest score among those within the budget; ties to the cheaper one."""
        within = [index for index in range(count) if self.flops[index] <= budget * _EQUAL]
        cheapest = int(self.flops[:count].argmin())
        return min(within or [cheapest], key=lambda index: (-np.nan_to_num(self.score[index]), self.flops[index]))

    def _way(self, name: str, index: int, configuration: Configuration | None) -> Way:
        return Way(
            name=name,
            configuration=configuration,
            score=Interval.from_draws(float(self.score[index]), self.score_draws[:, index]),
            flops=float(self.flops[index]),
            saving=Interval.from_draws(float(self.saving[index]), self.saving_draws[:, index]),
            layers=float(self.layers[index]),
        )

    def _dense_way(self) -> Way | None:
        if self.dense_score is None or self.dense_draws is None:
            return None
        score = Interval.from_draws(self.dense_score, self.dense_draws)
        return Way(
            name="dense",
            configuration=None,
            score=score,
            flops=self.dense_flops,
            saving=Interval(1.0, 1.0, 1.0),
            layers=None,
        )

    def _difference(self, left: int, right: int) -> Interval:
        draws = self.score_draws[:, left] - self.score_draws[:, right]
        return Interval.from_draws(float(self.score[left] - self.score[right]), draws)


def _score(option: Option) -> float:
    return option.score


def _flops(option: Option) -> float:
    return option.flops


def _layers(option: Option) -> float:
    return len(option.configuration)


def _score_draws(ways: Sequence[TaskUnits], resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all ways, and the same on resampled units: [ways], [resamples, ways]."""
    first = ways[0]
    if not first.strata:
        return np.full(len(ways), math.nan), np.full((resamples, len(ways)), math.nan)
    columns = np.stack([*(units.points for units in ways), first.weight], axis=1)
    sums = bootstrap_sums(first, columns, resamples=resamples, seed=seed)
    draws = 100 * (sums[..., :-1] / sums[..., -1:]).mean(axis=1)
    return np.array([float(units.score(units.sums())) for units in ways]), draws


def _saving_draws(menus: Sequence[Menu], flops: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact savings of all ways, and resampled: [ways], [resamples, ways]; ``flops`` is [ways, samples]."""
    units = all_units([menu.sample for menu in menus])
    place = {menu.sample.doc_id: index for index, menu in enumerate(menus)}
    table = np.concatenate([flops, [[menu.dense_flops for menu in menus]]]).T  # [samples, ways + 1]
    columns = np.array([table[[place[sample.doc_id] for sample in members]].sum(axis=0) for members in units.samples])
    sums = bootstrap_sums(units, columns, resamples=resamples, seed=seed).sum(axis=1)
    total = columns.sum(axis=0)
    return total[-1] / total[:-1], sums[:, -1:] / sums[:, :-1]


def _dense(
    menus: Sequence[Menu], dense: Sequence[SampleRecord], resamples: int, seed: int
) -> tuple[float | None, np.ndarray | None]:
    """The dense model's score on these samples and its draws; None where it did not answer all of them."""
    answered = {sample.doc_id: sample for sample in dense if sample.task == menus[0].sample.task}
    if any(menu.sample.doc_id not in answered for menu in menus):
        return None, None
    ours = [menu.sample for menu in menus]
    _, units = paired_units(ours, [answered[sample.doc_id] for sample in ours])
    if not units.strata:
        return None, None
    return float(units.score(units.sums())), score_draws(units, resamples=resamples, seed=seed)
