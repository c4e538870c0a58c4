"""Scores equal lmms-eval's own aggregation functions, and per-sample contributions are read from its own results."""

import importlib
import math

import numpy as np
import pytest

from tests.analysis.examples import mme, mmstar, plain, scored
from visor_eval.analysis import benchmark, group_score, mme_cognition, sample_score, task_score, task_units
from visor_eval.analysis.scores import MME_PERCEPTION, SCORING


def utils(task: str) -> object:
    return importlib.import_module(f"lmms_eval.tasks.{task}.utils")


@pytest.mark.parametrize("seed", range(8))
def test_mme_equals_lmms_eval(seed: int) -> None:
    metrics = mme(seed)
    samples = [scored("mme", metric, number) for number, metric in enumerate(metrics)]
    aggregate = utils("mme").mme_aggregate_results  # type: ignore[attr-defined]
    perception = [metric["mme_perception_score"] for metric in metrics if "mme_perception_score" in metric]
    cognition = [metric["mme_cognition_score"] for metric in metrics if "mme_cognition_score" in metric]
    assert task_score(samples) == pytest.approx(aggregate(perception) / (3 * 200) * 100)
    assert mme_cognition(samples) == pytest.approx(aggregate(cognition) / 200 * 100)


def test_mme_with_all_categories_is_perception_over_20() -> None:
    metrics = mme(0, pairs=60, categories=tuple(sorted(MME_PERCEPTION)))
    samples = [scored("mme_mini", metric, number) for number, metric in enumerate(metrics)]
    total = utils("mme").mme_aggregate_results([metric["mme_perception_score"] for metric in metrics])  # type: ignore[attr-defined]
    assert task_score(samples) == pytest.approx(total / 20)
    assert set(utils("mme").eval_type_dict["Perception"]) == MME_PERCEPTION  # type: ignore[attr-defined]


def test_mme_pairs_cut_by_a_limit_are_left_out() -> None:
    metrics = mme(1)[:-1]
    whole = [scored("mme", metric, number) for number, metric in enumerate(mme(1)[:-2])]
    cut = [scored("mme", metric, number) for number, metric in enumerate(metrics)]
    assert task_score(cut) == task_score(whole)
    assert task_units(cut, cognition=True).incomplete == 1
    assert math.isnan(task_score(cut[:1]))


@pytest.mark.parametrize("seed", range(8))
def test_mmstar_equals_lmms_eval(seed: int) -> None:
    metrics = mmstar(seed)
    samples = [scored("mmstar", metric, number) for number, metric in enumerate(metrics)]
    aggregate = utils("mmstar").mmstar_aggregate_results  # type: ignore[attr-defined]
    assert task_score(samples) == pytest.approx(100 * aggregate([metric["average"] for metric in metrics]))


def test_means() -> None:
    for task in sorted(set(SCORING) - {"mme", "mmstar"}):
        values = list(np.random.default_rng(3).random(17).round(3))
        samples = plain(task, [float(value) for value in values], SCORING[task].metrics[0])
        assert task_score(samples) == pytest.approx(100 * np.mean(values))
    assert group_score([10.0, 20.0, 60.0]) == 30.0


DOCS = [
    (
        "mme",
        "mme",
        "mme_process_results",
        {"question_id": "q", "category": "count", "answer": "Yes"},
        "Yes.",
        (1, "q", "count"),
    ),
    (
        "mme_mini",
        "mme",
        "mme_process_results",
        {"question_id": "q", "category": "x", "answer": "No"},
        "yes",
        (0, "q", "x"),
    ),
    (
        "mmstar",
        "mmstar",
        "mmstar_process_results",
        {"index": 5, "category": "math", "l2_category": "geometry", "answer": "B"},
        "B",
        (1, "5", "geometry"),
    ),
    ("pope", "pope", "pope_process_results", {"question_id": "1", "answer": "yes"}, "Yes", (1, "9", None)),
    ("chartqa", "chartqa", "chartqa_process_results", {"type": "human_test", "answer": "10"}, "10.4", (1, "9", None)),
    (
        "ocrbench",
        "ocrbench",
        "ocrbench_process_results",
        {"question_type": "Doc-oriented VQA", "dataset": "x", "answer": ["ab"]},
        "Ab!",
        (1, "9", None),
    ),
    ("realworldqa", "realworldqa", "realworldqa_process_results", {"answer": "A"}, "A.", (1, "9", None)),
    (
        "textvqa_val",
        "textvqa",
        "textvqa_process_results",
        {"question_id": 3, "answers": ["a"] * 3 + ["b"] * 7},
        "a",
        (0.9, "9", None),
    ),
]


@pytest.mark.parametrize(("task", "module", "function", "doc", "answer", "expected"), DOCS)
def test_reads_what_process_results_returns(
    task: str, module: str, function: str, doc: dict, answer: str, expected: tuple
) -> None:
    metrics = getattr(utils(module), function)(doc, [answer])
    assert sample_score(task, metrics, 9) == pytest.approx(expected)


def test_sample_scores_of_plain_metrics() -> None:
    assert sample_score("docvqa_val", {"anls": 0.75}, 4) == (0.75, "4", None)
    assert sample_score("ai2d", {"exact_match": 1.0, "doc": {}}, 4).score == 1.0
    assert sample_score("gqa_mini", {"exact_match": {"score": 1}}, 4).score == 1.0
    assert sample_score("some_other_task", {"anls": 0.5}, 4).score == 0.5


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"visor": 1}, r"task gqa, sample 4: none of the metrics exact_match in \['visor'\]"),
        ({"exact_match": "yes"}, "must be a number in 0..1, got 'yes'"),
        ({"exact_match": None}, "got None"),
        ({"exact_match": 2.0}, "got 2.0"),
        ({"exact_match": math.nan}, "got nan"),
        ({"exact_match": {"accuracy": 1}}, "got None"),
    ],
)
def test_nothing_is_guessed(metrics: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_score("gqa", metrics, 4)


def test_samples_of_several_tasks_or_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="one task, got \\['gqa', 'pope'\\]"):
        task_score([*plain("gqa", [1.0]), *plain("pope", [1.0], "pope_accuracy")])
    with pytest.raises(ValueError, match="occur more than once"):
        task_score(plain("gqa", [1.0]) * 2)


def test_benchmark_names() -> None:
    assert {benchmark(name) for name in ("mme", "mme_mini", "visor_mini_mme", "visor_mme", "mme_lite")} == {"mme"}
