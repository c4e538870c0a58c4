"""The search for viable configurations on records with a known truth."""

import numpy as np
import pytest

from tests.analysis.sweeps import result, sample
from visor_eval.analysis.viable import hopeful, propose, search, uniform

CANDIDATES = (1, 4, 7, 10)
SUBSETS = tuple(tuple(layer for place, layer in enumerate(CANDIDATES) if number >> place & 1) for number in range(16))


def truth(task: str, number: int, configuration) -> bool:
    """Layer 1 is needed; easy tasks are happy with layers 1 and 4, hard ones want the last candidate, some want all."""
    if 1 not in configuration:
        return number % 4 == 0
    if task.startswith("easy"):
        return number % 8 > 0 or 4 in configuration
    return number % 3 == 0 or (10 in configuration and (number % 3 == 1 or len(configuration) >= 3))


def samples(count: int = 48):
    return [
        sample(
            f"{group}_{index}",
            number,
            [result(each, complete=truth(f"{group}_{index}", number, each)) for each in SUBSETS],
            group=group,
        )
        for group in ("easy", "hard")
        for index in range(2)
        for number in range(count)
    ]


def test_ranking_and_accuracies():
    found = search(samples(), keep=4)
    assert found.samples == 192
    assert found.candidates == CANDIDATES
    assert found.groups == {"easy": ("easy_0", "easy_1"), "hard": ("hard_0", "hard_1")}
    assert len(found.ranked) == 16
    best = found.ranked[0]
    assert best.configuration == (1, 4, 10)  # the cheapest of those that are best everywhere
    assert best.relative == pytest.approx(100.0)
    assert best.accuracy["easy_0"] == pytest.approx(100.0)
    by_name = {each.configuration: each for each in found.ranked}
    assert by_name[1,].accuracy["easy_1"] == pytest.approx(87.5)
    assert by_name[1,].accuracy["hard_0"] == pytest.approx(100 / 3)
    assert by_name[()].accuracy["hard_0"] == pytest.approx(25.0)
    values = [each.relative for each in found.ranked]
    assert values == sorted(values, reverse=True)


def test_the_observations_say_what_was_built_in():
    """Signs, groups that differ, and intervals that hold the truth."""
    first, few, early = search(samples()).observations
    assert all(value.high < 0 for value in first.values.values())
    assert set(first.values) == {"easy", "hard", "all"}
    assert few.values["hard"].high < 0
    assert abs(few.values["easy"].estimate) < abs(few.values["hard"].estimate)
    assert early.values["easy"].low > 0  # layer 4 is all they want
    assert early.values["hard"].high < 0
    pairs = [(each, tuple(sorted((1, *each)))) for each in SUBSETS if 1 not in each]
    gaps = [
        np.mean([truth("hard_0", n, without) for n in range(48)])
        - np.mean([truth("hard_0", n, both) for n in range(48)])
        for without, both in pairs
    ]
    assert first.values["hard"].estimate == pytest.approx(100 * np.mean(gaps))
    for observation in (first, few, early):
        for value in observation.values.values():
            assert value.low <= value.estimate <= value.high


def test_nothing_is_claimed_of_noise():
    """Configurations that are all alike: every interval holds zero."""
    generator = np.random.default_rng(0)
    noise = [
        sample("easy_0", number, [result(each, complete=bool(generator.integers(2))) for each in SUBSETS])
        for number in range(60)
    ]
    found = search(noise)
    assert all(not value.excludes(0.0) for each in found.observations for value in each.values.values())


def test_the_proposal_serves_every_budget():
    found = search(samples(), keep=3)
    assert found.proposed == ((1,), (1, 10), (1, 4, 10))
    assert search(samples(), keep=4).proposed == ((1,), (1, 4), (1, 10), (1, 4, 10))
    assert set(search(samples(), keep=13).proposed) == {each for each in SUBSETS if 1 in each}  # there are no more
    assert search(samples(), keep=5).proposed[-1] == (1, 4, 7, 10)  # nothing more is gained: the best of the others
    relative = np.array([[1.0, 0.2, 0.9], [0.1, 1.0, 0.9]])
    assert propose(((1, 4), (1, 7), (1, 10)), relative, (1, 4, 7, 10), keep=1) == ((1, 10),)
    without = np.array([[0.1, 0.9]])
    assert propose(((1, 4), (4,)), without, (1, 4), keep=2) == ((4,),)  # all agree on the first candidate


def test_sizes_spread_evenly():
    candidates = (1, 4, 7, 10, 13, 16, 19, 22)
    assert uniform(candidates, 2) == (1, 22)
    assert uniform(candidates, 4) == (1, 7, 16, 22)
    assert uniform(candidates, 8) == candidates
    assert uniform(candidates, 1) == (1,)


def test_hopeless_configurations():
    """Those without layer 1 are right for a quarter: below half of the best, and surely so with enough samples."""
    kept = hopeful(samples())
    assert set(kept) == {each for each in SUBSETS if 1 in each}
    assert kept == tuple(each for each in SUBSETS if each in kept)
    assert len(hopeful(samples(2)[:3])) == 16  # three samples tell nothing
    with pytest.raises(ValueError, match="without samples"):
        hopeful([])


def test_pairs_are_drawn_together_and_gaps_are_left_out():
    """A configuration that some samples lack takes no part; no sample, no search."""
    some = samples(6)
    cut = [
        sample(s.task, i, s.results[1:] if i % 2 else s.results, group=s.group, unit=str(i // 2))
        for i, s in enumerate(some)
    ]
    found = search(cut)
    assert () not in {each.configuration for each in found.ranked}
    assert len(found.ranked) == 15
    with pytest.raises(ValueError, match="needs samples"):
        search([])
