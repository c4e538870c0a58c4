"""How much of the oracle's gain is luck: 13 noisy answers contain a right one more often than any single one is right.

Outcomes are a table, samples x configurations, of right and wrong. The null hypothesis: a sample is easy or hard, a
configuration good or bad, and beyond that no configuration suits one sample more than another (log-odds of being right
= easiness + quality; Rasch's model). Given how often each sample and each configuration is right, all tables are then
equally likely, so that the null can be sampled without estimating anything: shuffle the table, keep its margins.

The oracle's own accuracy cannot be tested that way: whether *any* configuration is right follows from the margins.
So the statistic is a choice that does not look at what it is scored on. One half of the configurations votes, the other
half is the menu; what the votes choose is right as often as that choice really is. Details and limits: docs/oracle.md.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from visor_eval.analysis.intervals import LEVEL, RESAMPLES, SEED, Interval

SHUFFLES = 499
ROUNDS = 30  # of trades between all rows, for one shuffle
HALVES = 32  # menus
LEAST_CONFIGURATIONS = 4

Configuration = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Luck:
    """What of the oracle's gain survives. All gains in points: 100 x share of samples answered rightly.

    Attributes:
        samples: rows of the table.
        informative: of these, right under some configurations and wrong under others.
        gain: oracle over the best fixed configuration, whole menu.
        half_gain: the same, mean over the half menus.
        confirmed: gain of what the voting half chooses over the best fixed configuration of the half menu.
        by_luck: the same on shuffled tables: mean and the range that holds 95 % of them.
        p_value: how often a shuffled table confirms as much.
        share: confirmed / half_gain, 0..1; NaN where nothing was gained.
    """

    samples: int
    informative: int
    gain: float
    half_gain: float
    confirmed: Interval
    by_luck: Interval
    p_value: float
    share: float


class LuckDraws(NamedTuple):
    """One task's numbers before they are summarised; groups average them."""

    samples: int
    informative: int
    gain: float
    half_gain: float
    confirmed: float
    resampled: np.ndarray  # confirmed on resampled units [resamples]
    shuffled: np.ndarray  # confirmed on shuffled tables [shuffles]


def luck_draws(
    right: np.ndarray,
    configurations: Sequence[Configuration],
    *,
    units: Sequence[Hashable] | None = None,
    strata: Sequence[Hashable] | None = None,
    shuffles: int = SHUFFLES,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> LuckDraws | None:
    """Test one task; None where there are too few configurations to halve.

    Args:
        right: [samples, configurations] whether each answers rightly.
        configurations: their layers; those that share layers speak for each other.
        units: resampling unit of each sample; default: the sample.
        strata: shuffle only among samples of one stratum (such as the template): then an advantage that a whole
            stratum shares is part of the null. Default: among all.
        shuffles: tables drawn from the null.
        resamples: bootstrap samples.
        seed: of everything drawn.
    """
    right = np.asarray(right, dtype=bool)
    if right.ndim != 2 or right.shape[1] != len(configurations) or not len(right):
        raise ValueError(f"expected [samples, {len(configurations)}] outcomes, got {list(right.shape)}")
    if len(configurations) < LEAST_CONFIGURATIONS:
        return None
    generator = np.random.default_rng(seed)
    menus = _half_menus(len(configurations), generator)
    kinship = kinship_of(configurations)
    mixed = np.logical_and(right.any(axis=1), ~right.all(axis=1))  # the other rows are the same in every shuffle
    table = right[mixed]
    gained = _confirmed(table[None], kinship, menus)[0]
    shuffled = np.zeros(shuffles)
    if len(table):
        names = np.zeros(len(right), dtype=np.intp) if strata is None else _numbered(strata)
        tables = shuffle_tables(table, names[mixed], shuffles, generator)
        shuffled = _confirmed(tables, kinship, menus).mean(axis=1)
    scale = 100 / len(right)
    best = right.mean(axis=0)
    return LuckDraws(
        samples=len(right),
        informative=int(mixed.sum()),
        gain=100 * float(right.any(axis=1).mean() - best.max()),
        half_gain=100 * float(np.mean([right[:, menu].any(axis=1).mean() - best[menu].max() for menu, _ in menus])),
        confirmed=scale * float(gained.mean()),
        resampled=_resampled(right, mixed, kinship, menus, units, resamples, np.random.default_rng([seed, 1])),
        shuffled=scale * shuffled,
    )


def luck_of(draws: Sequence[LuckDraws]) -> Luck:
    """Summarise one task, or the plain mean of several."""
    confirmed = float(np.mean([one.confirmed for one in draws]))
    shuffled = np.mean([one.shuffled for one in draws], axis=0)
    half_gain = float(np.mean([one.half_gain for one in draws]))
    informative = sum(one.informative for one in draws)
    reached = int((shuffled >= confirmed - 1e-9).sum())
    low, high = np.quantile(shuffled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Luck(
        samples=sum(one.samples for one in draws),
        informative=informative,
        gain=float(np.mean([one.gain for one in draws])),
        half_gain=half_gain,
        confirmed=Interval.from_draws(confirmed, np.mean([one.resampled for one in draws], axis=0)),
        by_luck=Interval(float(shuffled.mean()), float(low), float(high)),
        p_value=(1 + reached) / (1 + len(shuffled)) if informative else 1.0,
        share=min(1.0, max(0.0, confirmed / half_gain)) if half_gain > 0 else math.nan,
    )


def kinship_of(configurations: Sequence[Configuration]) -> np.ndarray:
    """How many layers two configurations share, out of those that either has [configurations, configurations], 0..1.

    Layers that all of them have say nothing and are left out.
    """
    common = set.intersection(*(set(layers) for layers in configurations))
    own = [set(layers) - common for layers in configurations]
    return np.array([[len(a & b) / len(a | b) if a | b else 1.0 for b in own] for a in own])


def shuffle_tables(table: np.ndarray, strata: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Tables drawn uniformly among those with the same row and column sums [count, rows, columns].

    Two rows trade: where they differ, who is right is dealt out anew, each row keeping its number (the curveball
    algorithm, Strona et al. 2014). All tables start from one hub, itself shuffled away from ``table``: as trades are
    reversible, ``table`` is under the null as good a draw from the hub as the others, and p-values are valid however
    long the chains are (Besag and Clifford 1989).

    Args:
        table: [rows, columns] booleans.
        strata: [rows] rows trade only within their stratum; also the column sums of each stratum are kept.
        count: tables.
        generator: source of chance.
    """
    hub = _trade(table[None], strata, generator)
    return _trade(np.repeat(hub, count, axis=0), strata, generator)


def _trade(tables: np.ndarray, strata: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    tables = tables.copy()
    count, rows = tables.shape[:2]
    for _ in range(ROUNDS):  # strata in random order, rows in random order within them; neighbours trade
        places = generator.random((count, int(strata.max()) + 1)).argsort(axis=1)
        order = (places[:, strata] + generator.random((count, rows))).argsort(axis=1)
        first, second = order[:, : rows - 1 : 2], order[:, 1::2]
        a = np.take_along_axis(tables, first[..., None], axis=1)
        b = np.take_along_axis(tables, second[..., None], axis=1)
        differ = (a ^ b) & (strata[first] == strata[second])[..., None]
        keys = np.where(differ, generator.random(a.shape, dtype=np.float32), 2)
        dealt = keys.argsort(axis=2).argsort(axis=2) < (a & differ).sum(axis=2, keepdims=True)
        np.put_along_axis(tables, first[..., None], np.where(differ, dealt, a), axis=1)
        np.put_along_axis(tables, second[..., None], np.where(differ, ~dealt, b), axis=1)
    return tables


class _Menu(NamedTuple):
    menu: np.ndarray  # configurations that may be chosen
    voters: np.ndarray  # the others


def _half_menus(configurations: int, generator: np.random.Generator) -> list[_Menu]:
    menus = []
    for _ in range(HALVES // 2):
        order = generator.permutation(configurations)
        halves = np.sort(order[: configurations // 2]), np.sort(order[configurations // 2 :])
        menus += [_Menu(*halves), _Menu(*reversed(halves))]
    return menus


def _chosen(tables: np.ndarray, quality: np.ndarray, kinship: np.ndarray, menu: _Menu) -> np.ndarray:
    """Whether the choice from ``menu`` is right [tables, rows].

    A configuration's prospects: its quality, and how much better than expected its kin among the voters do on this
    sample. What is expected of a voter is its own quality and how the voters do on this sample on the whole.
    """
    votes = tables[..., menu.voters].astype(np.float32)
    expected = quality[menu.voters] + votes.mean(axis=-1, keepdims=True) - quality[menu.voters].mean()
    kin = kinship[np.ix_(menu.voters, menu.menu)]
    prospects = quality[menu.menu] + (votes - expected) @ kin / (1 + kin.sum(axis=0))
    choice = prospects.argmax(axis=-1)
    return np.take_along_axis(tables[..., menu.menu], choice[..., None], axis=-1)[..., 0]


def _confirmed(tables: np.ndarray, kinship: np.ndarray, menus: Sequence[_Menu]) -> np.ndarray:
    """Right answers of the choice less those of the menu's best, for each table and menu [tables, menus]."""
    if not tables.shape[1]:
        return np.zeros((len(tables), len(menus)))
    quality = tables[0].mean(axis=0).astype(np.float32)  # the same in all of them
    best = quality * tables.shape[1]
    return np.stack(
        [
            _chosen(tables, quality, kinship.astype(np.float32), menu).sum(axis=1) - best[menu.menu].max()
            for menu in menus
        ],
        axis=1,
    )


def _resampled(
    right: np.ndarray,
    mixed: np.ndarray,
    kinship: np.ndarray,
    menus: Sequence[_Menu],
    units: Sequence[Hashable] | None,
    resamples: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Confirmed gain on resampled units, choices and best configurations staying the same [resamples], in points."""
    chosen = np.repeat(right[:, :1], len(menus), axis=1).astype(np.float64)  # true of unanimous rows
    table = right[mixed]
    if len(table):
        quality = table.mean(axis=0).astype(np.float32)
        picks = [_chosen(table[None], quality, kinship.astype(np.float32), menu)[0] for menu in menus]
        chosen[mixed] = np.stack(picks, axis=1)
    number = np.arange(len(right)) if units is None else _numbered(units)
    count = int(number.max()) + 1
    columns = np.concatenate([chosen, right, np.ones((len(right), 1))], axis=1)
    sums = np.zeros((count, columns.shape[1]))
    np.add.at(sums, number, columns)
    times = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    drawn = times @ sums
    picked, fixed, total = np.split(drawn, [len(menus), len(menus) + right.shape[1]], axis=1)
    quality = right.sum(axis=0)
    best = [menu.menu[quality[menu.menu].argmax()] for menu in menus]
    return 100 * ((picked - fixed[:, best]) / total).mean(axis=1)


def _numbered(names: Sequence[Hashable]) -> np.ndarray:
    place: dict[Hashable, int] = {}
    return np.array([place.setdefault(name, len(place)) for name in names], dtype=np.intp)
