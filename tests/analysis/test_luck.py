"""The null for the oracle's gain, on simulated outcomes whose truth is known."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from visor_eval.analysis.luck import kinship_of, luck_draws, luck_of, shuffle_tables
from visor_eval.cost import PAPER_CONFIGURATIONS

LAYERS = np.array([len(configuration) for configuration in PAPER_CONFIGURATIONS])
HAS_16 = np.array([16 in configuration for configuration in PAPER_CONFIGURATIONS])


def probabilities(easiness: np.ndarray, advantage: np.ndarray | float = 0.0) -> np.ndarray:
    return 1 / (1 + np.exp(-(easiness[:, None] + 0.15 * (LAYERS - 4) + advantage)))


def no_advantage(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Easy and hard samples, better and worse configurations, nothing else."""
    return probabilities(rng.normal(0, 2, samples))


def advantage(rng: np.random.Generator, samples: int, size: float = 2.0) -> np.ndarray:
    """Half of the samples want layer 16, the other half want to be spared it."""
    wants = rng.integers(0, 2, samples).astype(bool)
    return probabilities(rng.normal(0, 1.5, samples), np.where(HAS_16[None] == wants[:, None], size, -size))


def private_advantage(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Each sample has one favourite configuration of its own; kin mean nothing."""
    favourite = rng.integers(0, len(LAYERS), samples)
    return np.where(np.arange(len(LAYERS)) == favourite[:, None], 0.95, 0.4)


def repeat(truth, times: int, samples: int, **options: object) -> tuple[list, list[float]]:
    rng, found, gains = np.random.default_rng(3), [], []
    for seed in range(times):
        chance = truth(rng, samples)
        gains.append(100 * (chance.max(axis=1).mean() - chance.mean(axis=0).max()))  # by the best choice possible
        right = rng.random(chance.shape) < chance
        found.append(
            luck_of([luck_draws(right, PAPER_CONFIGURATIONS, shuffles=59, resamples=100, seed=seed, **options)])
        )
    return found, gains


def test_gain_by_luck_alone_is_not_significant() -> None:
    found, gains = repeat(no_advantage, 30, 50)
    assert np.mean([one.gain for one in found]) > 20  # the oracle does gain
    assert abs(np.mean(gains)) < 1e-9  # though no choice could
    assert np.mean([one.p_value < 0.05 for one in found]) <= 0.14  # 5 % expected: at most 4 of 30
    assert np.mean([one.confirmed.estimate for one in found]) < 1
    assert np.mean([one.share for one in found]) < 0.06


def test_planted_advantage_is_found() -> None:
    found, gains = repeat(advantage, 10, 80)
    assert np.mean([one.p_value < 0.05 for one in found]) >= 0.8
    confirmed = np.mean([one.confirmed.estimate for one in found])
    assert 8 < confirmed < np.mean(gains)  # a lower bound of what the best choice would gain
    assert np.mean([one.share for one in found]) > 0.25
    assert np.mean([one.confirmed.low > 0 for one in found]) >= 0.5


def test_an_advantage_that_kin_do_not_share_stays_unseen() -> None:
    """The documented limit: as with luck, all patterns with a given sum are equally likely."""
    found, gains = repeat(private_advantage, 12, 60)
    assert np.mean(gains) > 30
    assert np.mean([one.p_value < 0.05 for one in found]) <= 0.25
    assert np.mean([one.confirmed.estimate for one in found]) < 1


def test_advantage_of_whole_templates_is_part_of_the_null_where_asked() -> None:
    rng = np.random.default_rng(0)
    template = np.repeat([0, 1], 60)
    chance = probabilities(rng.normal(0, 1, 120), np.where(HAS_16[None] == (template == 1)[:, None], 2.0, -2.0))
    right = rng.random(chance.shape) < chance
    across = luck_of([luck_draws(right, PAPER_CONFIGURATIONS, shuffles=199)])
    within = luck_of([luck_draws(right, PAPER_CONFIGURATIONS, shuffles=199, strata=[f"t{t}" for t in template])])
    assert across.p_value < 0.05 < within.p_value
    assert across.confirmed == within.confirmed


def test_shuffles_keep_all_margins() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((31, 13)) < rng.random((31, 1))
    strata = rng.integers(0, 3, 31)
    tables = shuffle_tables(table, strata, 20, rng)
    np.testing.assert_array_equal(tables.sum(axis=2), np.tile(table.sum(axis=1), (20, 1)))
    for stratum in range(3):
        kept = tables[:, strata == stratum].sum(axis=1)
        np.testing.assert_array_equal(kept, np.tile(table[strata == stratum].sum(axis=0), (20, 1)))
    assert (tables != table).any(axis=(1, 2)).all()


def test_shuffles_are_uniform() -> None:
    """Every table with the margins of a small one occurs, equally often."""
    table = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], dtype=bool)
    possible = [
        np.array(bits, dtype=bool).reshape(3, 3)
        for bits in product((0, 1), repeat=9)
        if (np.reshape(bits, (3, 3)).sum(axis=0) == table.sum(axis=0)).all()
        and (np.reshape(bits, (3, 3)).sum(axis=1) == table.sum(axis=1)).all()
    ]
    draws = shuffle_tables(table, np.zeros(3, dtype=int), 4000, np.random.default_rng(1))
    times = Counter(draw.tobytes() for draw in draws)
    assert set(times) == {one.tobytes() for one in possible}
    expected = 4000 / len(possible)
    assert sum((count - expected) ** 2 / expected for count in times.values()) < 3 * len(possible)  # chi-square


def test_kinship() -> None:
    kinship = kinship_of([(1, 4), (1, 4, 7), (1, 10, 16)])
    np.testing.assert_allclose(kinship, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])


def test_unanimous_samples_and_small_menus() -> None:
    right = np.repeat(np.array([[True], [False]]), 13, axis=1)
    unanimous = luck_of([luck_draws(right, PAPER_CONFIGURATIONS, shuffles=20)])
    assert (unanimous.informative, unanimous.gain, unanimous.p_value) == (0, 0.0, 1.0)
    assert np.isnan(unanimous.share)
    assert luck_draws(right[:, :3], PAPER_CONFIGURATIONS[:3]) is None
    with pytest.raises(ValueError, match="outcomes"):
        luck_draws(right[:, :3], PAPER_CONFIGURATIONS)
