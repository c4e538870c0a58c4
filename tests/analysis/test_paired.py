"""Paired differences: exact where they can be, the right size under no difference, corrected for many."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from tests.analysis.examples import mme, mmstar, plain, scored
from visor_eval.analysis import task_score
from visor_eval.analysis.paired import compare_group, exchange_p_value, holm, paired_units


def test_difference_is_that_of_the_scores_for_every_rule() -> None:
    for task, made in (("mme", mme), ("mmstar", mmstar)):
        left = [scored(task, metric, number) for number, metric in enumerate(made(1))]
        right = [replace(sample, score=float(number % 3 > 0)) for number, sample in enumerate(left)]
        test = compare_group([(left, right[::-1])])  # order of the documents does not matter
        assert test.difference.estimate == pytest.approx(task_score(right) - task_score(left))
        assert test.difference.low <= test.difference.estimate <= test.difference.high


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (6, 2), (3, 3), (9, 1)])
def test_p_value_is_mcnemars(gained: int, lost: int) -> None:
    left = plain("gqa", [0.0] * gained + [1.0] * lost + [1.0] * 10)
    right = plain("gqa", [1.0] * gained + [0.0] * lost + [1.0] * 10)
    test = compare_group([(left, right)])
    trials, fewer = gained + lost, min(gained, lost)
    expected = min(1.0, 2 * sum(comb(trials, k) for k in range(fewer + 1)) / 2**trials)
    assert test.p_value == pytest.approx(expected)
    assert (test.units, test.changed) == (len(left), trials)


def test_sampled_p_value_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    added = np.random.default_rng(0).normal(0.3, 1, 12)
    exact = exchange_p_value(added)
    monkeypatch.setattr("visor_eval.analysis.paired.EXACT_UNITS", 5)
    assert exchange_p_value(added) == pytest.approx(exact, abs=0.015)


def test_no_difference_is_rarely_found_and_a_real_one_often() -> None:
    rng = np.random.default_rng(1)

    def share_found(gain: float) -> float:
        found = 0
        for _ in range(200):
            skill = rng.random(60)
            left = (rng.random(60) < skill).astype(float)
            right = (rng.random(60) < np.minimum(1, skill + gain)).astype(float)
            found += exchange_p_value(right - left) < 0.05
        return found / 200

    assert share_found(0.0) <= 0.08
    assert share_found(0.3) > 0.7


def test_groups_are_means_over_tasks() -> None:
    easy = plain("gqa", [0.0, 0.0, 1.0]), plain("gqa", [1.0, 0.0, 1.0])
    other = (
        plain("pope", [1.0] * 4, metric="pope_accuracy"),
        plain("pope", [1.0, 1.0, 0.0, 1.0], metric="pope_accuracy"),
    )
    both = compare_group([easy, other])
    assert both.difference.estimate == pytest.approx((100 / 3 - 25) / 2)
    assert (both.units, both.changed) == (7, 2)


def test_unpaired_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="one of the two runs only"):
        paired_units(plain("gqa", [1.0, 0.0]), plain("gqa", [1.0]))


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    adjusted = holm([0.02, float("nan")])
    assert adjusted[0] == pytest.approx(0.02)
    assert np.isnan(adjusted[1])
