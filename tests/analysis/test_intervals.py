"""Bootstrap intervals: seeded, fast, paired across models, and they cover."""

import time

import numpy as np
import pytest

from tests.analysis.examples import mme, mmstar, plain, scored
from visor_eval.analysis import Interval, group_interval, score_interval, task_score, task_units
from visor_eval.analysis.intervals import bootstrap_sums, score_draws


def test_estimate_is_the_score_and_draws_are_seeded() -> None:
    for samples in (
        plain("gqa", [1.0, 0.0, 1.0, 1.0]),
        [scored("mme", metric, number) for number, metric in enumerate(mme(2))],
        [scored("mmstar", metric, number) for number, metric in enumerate(mmstar(2))],
    ):
        units = task_units(samples)
        interval = score_interval(units)
        assert interval.estimate == pytest.approx(task_score(samples))
        assert interval.low <= interval.estimate <= interval.high
        assert interval == score_interval(units)
        assert not np.array_equal(score_draws(units), score_draws(units, seed=1))


def test_draws_recompute_the_metric() -> None:
    """Each draw equals the metric of a resampled list of units, computed the slow way."""
    samples = [scored("mmstar", metric, number) for number, metric in enumerate(mmstar(5))]
    units = task_units(samples)
    columns = np.eye(len(units.stratum))
    times = bootstrap_sums(units, columns, resamples=20)  # how often each unit was drawn, by stratum
    assert (times.sum(axis=2) == np.bincount(units.stratum)).all()  # strata keep their size
    draws = score_draws(units, resamples=20)
    for row, draw in zip(times.sum(axis=1), draws, strict=True):
        means = []
        for index in range(len(units.strata)):
            chosen = units.stratum == index
            means.append(np.repeat(units.points[chosen], row[chosen].astype(int)).mean())
        assert draw == pytest.approx(100 * np.mean(means))


def test_mme_resamples_pairs() -> None:
    metrics = mme(3, pairs=8, categories=("count",))
    samples = [scored("mme", metric, number) for number, metric in enumerate(metrics)]
    units = task_units(samples)
    assert len(units.stratum) == 8
    assert set(units.points) <= {0.0, 0.25, 1.0}
    assert set(np.round(score_draws(units) * 8 / 25, 9) % 1) == {0.0}


def test_chunks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    units = task_units(plain("gqa", [float(n % 3 == 0) for n in range(50)]))
    whole = score_draws(units)
    monkeypatch.setattr("visor_eval.analysis.intervals._CHUNK", 777)
    np.testing.assert_array_equal(score_draws(units), whole)


def test_models_share_their_draws() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 60).astype(float)
    units = [task_units(plain("pope", list(values), "pope_accuracy")) for values in (first, 1 - first)]
    one, other = (score_draws(unit) for unit in units)
    np.testing.assert_allclose(one + other, 100.0)


@pytest.mark.parametrize("chance", [0.5, 0.8])
def test_coverage(chance: float) -> None:
    rng = np.random.default_rng(7)
    base = plain("gqa", [0.0] * 100)
    units = task_units(base)
    covered = 0
    for trial in range(300):
        units.points[:] = rng.random(100) < chance
        interval = score_interval(units, resamples=400, seed=trial)
        covered += interval.low <= 100 * chance <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_group_interval_is_narrower_than_its_tasks() -> None:
    rng = np.random.default_rng(1)
    tasks = [
        task_units(plain(name, list(rng.integers(0, 2, 100).astype(float)), metric))
        for name, metric in (("gqa", "exact_match"), ("pope", "pope_accuracy"), ("docvqa_val", "anls"))
    ]
    group = group_interval(tasks)
    assert group.estimate == pytest.approx(np.mean([score_interval(task).estimate for task in tasks]))
    assert group.high - group.low < min(i.high - i.low for i in map(score_interval, tasks))
    with pytest.raises(ValueError, match="at least one task"):
        group_interval([])


def test_interval() -> None:
    interval = Interval(5.0, 4.0, 6.0)
    assert interval.excludes(3.9)
    assert not interval.excludes(6.0)
    degenerate = score_interval(task_units(plain("gqa", [1.0] * 5)))
    assert (degenerate.low, degenerate.high) == (100.0, 100.0)


def test_twelve_tasks_are_fast() -> None:
    """No timed assertion on speed as such: a bound so loose that only a lost vectorisation breaks it."""
    units = task_units(plain("gqa", [float(n % 2) for n in range(125)]))
    start = time.process_time()
    for _ in range(12):
        score_interval(units)
    assert time.process_time() - start < 5
