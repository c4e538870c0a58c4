"""Savings are ratios of mean costs, groups are plain means."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.examples import cost, mme, plain, scored
from visor_eval.analysis import all_units, mean_saving_interval, saving_interval, summarise
from visor_eval.analysis.claims.swept import saving
from visor_eval.analysis.savings import has_cost
from visor_eval.records import Accounting


def test_ratio_of_means() -> None:
    samples = [*plain("gqa", [1.0] * 3, full=(1, 4)), *plain("gqa", [1.0] * 2, full=None, vision=7290)]
    samples = [replace(sample, doc_id=str(n), unit=str(n)) for n, sample in enumerate(samples)]
    for accounting in ("paper", "exact", "end_to_end"):
        dense = np.mean([sample.cost.dense_total(accounting) for sample in samples])  # type: ignore[union-attr]
        method = np.mean([sample.cost.total(accounting) for sample in samples])  # type: ignore[union-attr]
        interval = saving_interval(all_units(samples), accounting)
        assert interval.estimate == pytest.approx(dense / method)
        assert interval.low < interval.estimate < interval.high
    paper = saving_interval(all_units(samples), "paper").estimate
    assert paper == pytest.approx(5 * 24 / (3 * 2 + 2 * 24))
    causal = saving_interval(all_units(samples), "exact", causal=True).estimate
    assert causal != saving_interval(all_units(samples), "exact").estimate


def test_constant_costs_have_no_width() -> None:
    interval = saving_interval(all_units(plain("gqa", [1.0, 0.0, 0.5])), "paper")
    assert (interval.estimate, interval.low, interval.high) == (12.0, 12.0, 12.0)


def test_mean_over_tasks() -> None:
    tasks = [all_units(plain("gqa", [1.0] * 4)), all_units(plain("docvqa_val", [1.0], "anls", full=(1, 4, 7)))]
    assert mean_saving_interval(tasks, "paper").estimate == pytest.approx((12 + 8) / 2)


def test_cognition_costs_too() -> None:
    samples = [scored("mme", metric, number) for number, metric in enumerate(mme(0))]
    assert sum(len(members) for members in all_units(samples).samples) == len(samples)


def test_costs_nothing_by_the_papers_accounting() -> None:
    interval = saving_interval(all_units(plain("gqa", [1.0, 0.0], full=())), "paper")
    assert interval.estimate == interval.high == math.inf


def test_nothing_to_save() -> None:
    """Samples without an image cost nothing by `paper`, with every method: the saving is 1, never infinite."""
    texts = plain("gqa", [1.0, 0.0], full=(1, 4), vision=0)
    interval = saving_interval(all_units(texts), "paper")
    assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)
    assert saving(texts, Accounting.PAPER, "all").estimate == 1
    mixed = [*plain("gqa", [1.0], full=None), *(replace(one, doc_id=f"t{one.doc_id}") for one in texts)]
    assert saving_interval(all_units(mixed), "paper").estimate == 1


def test_unknown_costs() -> None:
    samples = [replace(sample, cost=None) for sample in plain("gqa", [1.0, 0.0])]
    assert not has_cost(samples)
    with pytest.raises(ValueError, match="gqa 0: the cost of this sample is unknown"):
        saving_interval(all_units(samples), "exact")
    row = summarise(samples).tasks[0]
    assert (row.flops, row.layers, dict(row.saving)) == (None, None, {})
    assert row.score.estimate == 50.0


def test_summary() -> None:
    samples = [
        *plain("gqa", [1.0, 0.0]),
        *plain("docvqa_val", [0.5, 1.0], "anls", group="hard", full=(1, 4, 7)),
        *plain("pope", [1.0, 1.0], "pope_accuracy", full=None),
    ]
    summary = summarise(samples, tasks=("pope", "gqa", "docvqa_val"), chance={"gqa": 20.0, "pope": 50.0})
    assert [row.name for row in summary.tasks] == ["pope", "gqa", "docvqa_val"]
    easy, hard = summary.groups
    assert (easy.name, easy.score.estimate, easy.chance, easy.layers) == ("easy", 75.0, 35.0, (24 + 2) / 2)
    assert (hard.name, hard.score.estimate, hard.chance, hard.layers) == ("hard", 75.0, None, 3)
    assert easy.saving["paper"].estimate == pytest.approx((1 + 12) / 2)
    assert summary.overall.saving["paper"].estimate == pytest.approx((1 + 12 + 8) / 3)
    assert summary.overall.samples == 6
    assert summary.tasks[1].flops == cost((1, 4)).total()
    with pytest.raises(ValueError, match="no samples"):
        summarise([])
