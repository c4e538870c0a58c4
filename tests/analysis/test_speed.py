"""Speed-ups, realised ratios and growth, on numbers whose answer is known."""

import numpy as np
import pytest

from tests.records.benches import entry, timing
from visor_eval.analysis.speed import growth, growth_exponent, median, speed, speed_up
from visor_eval.records.bench import Phase


def test_realised_is_measured_over_predicted():
    dense = timing(seconds=(8.0, 8.0, 8.0), flops=1000, flops_causal=800)
    method = timing(seconds=(2.0, 2.0, 2.0), flops=200, flops_causal=100)
    found = speed(dense, method)
    assert (found.measured.estimate, found.predicted, found.predicted_full) == (4.0, 8.0, 5.0)
    assert found.realised.estimate == 0.5
    assert found.realised_full.estimate == 0.8
    assert (found.realised.low, found.realised.high) == (0.5, 0.5)  # every round agrees


def test_nothing_is_predicted_without_flops():
    assert speed(timing(flops=0, flops_causal=0), timing()) is None
    assert speed(timing(), timing(flops=0, flops_causal=0)) is None


def test_rounds_are_resampled_together():
    """A machine that slows everything threefold in one round does not widen a ratio."""
    slow = np.array([1.0, 1.0, 3.0, 1.0, 2.0])
    found = speed_up(tuple(10 * slow), tuple(slow))
    assert (found.estimate, found.low, found.high) == (10.0, 10.0, 10.0)
    spread = median(tuple(slow))
    assert spread.low < spread.estimate + 1e-9 < spread.high
    with pytest.raises(ValueError, match="paired"):
        speed_up((1.0, 2.0), (1.0,))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(power):
    tokens = (729, 1458, 3645, 7290)
    assert growth_exponent(tokens, [3e-4 * count**power for count in tokens]) == pytest.approx(power)
    with pytest.raises(ValueError, match="two"):
        growth_exponent((729, 729), (1.0, 1.0))


def test_growth_needs_three_images_and_takes_medians():
    def at(tokens, method="dense"):
        seconds = (tokens * 1e-3, tokens * 1e-3, 100.0)
        return entry(method, tokens, timings=[timing(Phase.PREFILL, seconds, tokens**2, tokens**2)])

    found = growth((at(729), at(1458), at(3645), at(729, "fastv"), at(1458, "fastv")), Phase.PREFILL)
    assert [line.label for line in found] == ["dense"]
    assert found[0].exponent == pytest.approx(1.0)
    assert found[0].predicted == pytest.approx(2.0)
