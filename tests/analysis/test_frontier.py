"""The Pareto front: who is on it, how high it is, and how sure that is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.examples import cost, mme, plain, scored
from visor_eval.analysis import group_score, task_score
from visor_eval.analysis.frontier import Candidate, candidate, pareto_front


def fixed(name: str, price: float, score: float, draws: int = 8) -> Candidate:
    return Candidate(
        name=name, cost=price, score=score, cost_draws=np.full(draws, price), score_draws=np.full(draws, score)
    )


def test_members_and_height() -> None:
    front = pareto_front([fixed("dear", 10, 60), fixed("worse", 5, 40), fixed("cheap", 1, 30), fixed("mid", 4, 50)])
    assert front.members == ("cheap", "mid", "dear")
    assert front.membership == {"dear": 1.0, "worse": 0.0, "cheap": 1.0, "mid": 1.0}
    assert front.best[front.budgets.searchsorted(3.99)] <= 50
    assert front.best[0] == 30
    assert front.best[-1] == 60
    assert front.best[list(front.budgets).index(5)] == 50
    np.testing.assert_array_equal(front.low, front.best)
    np.testing.assert_array_equal(front.high, front.best)


def test_ties_share_the_front_and_a_tie_in_one_loses() -> None:
    assert pareto_front([fixed("a", 1, 5), fixed("b", 1, 5)]).members == ("a", "b")
    assert pareto_front([fixed("a", 1, 5), fixed("b", 2, 5)]).members == ("a",)
    assert pareto_front([fixed("a", 1, 5), fixed("b", 1, 6)]).members == ("b",)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=9),
)
def test_equals_the_definition(points: list[tuple[int, int]]) -> None:
    front = pareto_front([fixed(str(index), *map(float, point)) for index, point in enumerate(points)])
    expected = {
        str(index)
        for index, (price, score) in enumerate(points)
        if not any(p <= price and s >= score and (p, s) != (price, score) for p, s in points)
    }
    assert set(front.members) == expected
    for budget, best in zip(front.budgets, front.best, strict=True):
        assert best == max(score for price, score in points if price <= budget)


def test_draws_decide_membership_and_band() -> None:
    steady = fixed("steady", 2, 50, draws=100)
    noisy = Candidate(
        name="noisy",
        cost=1,
        score=40,
        cost_draws=np.ones(100),
        score_draws=np.where(np.arange(100) < 30, 60.0, 20.0),
    )
    front = pareto_front([steady, noisy])
    assert front.membership == {"steady": 0.7, "noisy": 1.0}  # noisy is cheaper: never dominated
    assert (front.low[0], front.high[0]) == (20.0, 60.0)
    assert (front.low[-1], front.high[-1]) == (50.0, 60.0)


def test_candidate_from_samples() -> None:
    tasks = {
        "gqa": plain("gqa", [1.0, 0.0, 1.0, 1.0], full=(1, 4)),
        "mme": [scored("mme", metrics, n, full=(1, 4, 7)) for n, metrics in enumerate(mme(0))],
    }
    found = candidate("visor", tasks, resamples=300)
    assert found.score == pytest.approx(group_score([task_score(samples) for samples in tasks.values()]))
    assert found.cost == pytest.approx((cost((1, 4)).total() + cost((1, 4, 7)).total()) / 2)
    assert found.cost_draws.shape == found.score_draws.shape == (300,)
    assert found.cost_draws == pytest.approx(found.cost)  # every sample of a task costs the same here
    assert found.score_draws.std() > 1


def test_paired_draws() -> None:
    """A method that is better on every single question is above in every draw, however wide the intervals are."""
    values = [0.0, 1.0] * 20
    low = candidate("low", {"docvqa_val": plain("docvqa_val", [v * 0.6 for v in values], "anls")}, resamples=200)
    high = candidate(
        "high", {"docvqa_val": plain("docvqa_val", [v * 0.7 + 0.01 for v in values], "anls")}, resamples=200
    )
    assert (high.score_draws > low.score_draws).all()


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least one candidate"):
        pareto_front([])
    with pytest.raises(ValueError, match="at least one task"):
        candidate("a", {})
    from dataclasses import replace

    unknown = [replace(one, cost=None) for one in plain("gqa", [1.0])]
    with pytest.raises(ValueError, match="gqa 0: the cost of this sample is unknown"):
        candidate("a", {"gqa": unknown})
