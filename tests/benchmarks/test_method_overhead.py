"""The overhead benchmark runs, and measures what it says."""

import csv
import time

import pytest
import torch

from benchmarks import method_overhead
from benchmarks.live_bytes import LiveBytes
from benchmarks.question import NARROW, question
from visor_eval.probes.random_weights import random_backbone


def test_living_bytes():
    given = torch.zeros(1000)
    with LiveBytes() as live:
        one = given + 1  # 4000 bytes
        view = one.view(10, 100)
        other = view * 2  # 4000 more
        del one, view
        third = other[:500].clone()
        given.add_(1)  # not made here
    assert (live.peak, live.now) == (8000, 8000)
    del other, third
    assert live.now == 0


@pytest.fixture(scope="module")
def model():
    return random_backbone(NARROW)


class Clock:
    """Goes on by itself when it is read, a little, and by as much as it is told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1e-4
        return self.now


@pytest.fixture
def slow_steps(monkeypatch):
    """Every method takes 30 s of a clock of our own where it chooses, a call."""
    from visor_baselines.fastv import FastV
    from visor_baselines.random_keep import RandomKeep

    clock = Clock()
    monkeypatch.setattr(time, "process_time", clock)
    for owner, name in ((RandomKeep, "reduce"), (FastV, "prune")):
        original = getattr(owner, name)

        def slow(self, given, original=original):
            clock.now += 30
            return original(self, given)

        monkeypatch.setattr(owner, name, slow)


def test_what_a_method_does_is_in_its_share(model, slow_steps):
    asked = question(model, 2)
    dense = method_overhead.measure(model, asked, 2, "dense", "cpu")
    assert (dense.scoring_s, dense.selection_s, dense.extra_mib) == (
        pytest.approx(0, abs=0.02),
        *[pytest.approx(0, abs=0.02)] * 2,
    )
    for label in ("random", "fastv"):
        found = method_overhead.measure(model, asked, 2, label, "cpu")
        assert 30 <= found.selection_s < 60  # the second call, for its memory, does not count
        row = method_overhead.compare(dense, found)
        assert row["of_prefill"] == pytest.approx((found.scoring_s + found.selection_s) / dense.prefill_s)
    assert found.tokens == dense.tokens == 32 + 2 * 729 + 27


def test_scores_hold_one_head_of_one_tile_and_the_caught_projections(model):
    tower, tiles = NARROW.tower, 5
    found = method_overhead.measure(model, question(model, tiles), tiles, "visionzip", "cpu")
    held = 2 * tiles * tower.tokens * tower.hidden * 4
    one_map = tower.tokens**2 * 4
    assert held < found.extra_mib * 2**20 < held + 5 * one_map  # all of them: heads x tiles maps
    assert found.scoring_s > 0


def test_the_command_writes_what_it_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(method_overhead, "METHODS", {key: method_overhead.METHODS[key] for key in ("m3", "fastv")})
    assert method_overhead.main(["--narrow", "--tiles", "1", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "method_overhead.md").read_text()
    assert capsys.readouterr().out == text
    rows = list(csv.DictReader((tmp_path / "method_overhead.csv").open()))
    assert [row["method"] for row in rows] == ["dense", "m3", "fastv"]
    assert f"{float(rows[1]['of_prefill']):.2%}" in text
    with pytest.raises(ValueError, match="4 tiles: 1, 2, 5, 10"):
        method_overhead.main(["--narrow", "--tiles", "4"])
