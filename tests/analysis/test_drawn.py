"""Numbers with draws: paired differences, means over tasks, order of documents."""

import numpy as np
import pytest

from tests.analysis.examples import mme, plain, scored
from visor_eval.analysis import task_score
from visor_eval.analysis.drawn import ALL, Drawn, means, scores
from visor_eval.analysis.intervals import group_interval
from visor_eval.analysis.paired import compare_group
from visor_eval.analysis.scores import task_units


def right(count: int, share: float, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(count) < share).astype(float).tolist()


def two_tasks(seed: int):
    return [*plain("gqa", right(40, 0.6, seed)), *plain("textvqa_val", right(25, 0.3, seed + 1))]


def test_scores_and_intervals_are_those_of_all_tables():
    samples = two_tasks(0)
    found = scores(samples)
    by_task = {task: [one for one in samples if one.task == task] for task in ("gqa", "textvqa_val")}
    assert {task: drawn.estimate for task, drawn in found.tasks.items()} == {
        task: task_score(members) for task, members in by_task.items()
    }
    assert found.of("easy").interval == group_interval([task_units(members) for members in by_task.values()])


def test_a_difference_is_the_paired_one():
    left, right_ = two_tasks(0), two_tasks(7)
    pairs = [
        ([one for one in left if one.task == task], [one for one in right_ if one.task == task])
        for task in ("gqa", "textvqa_val")
    ]
    expected = compare_group(pairs).difference
    found = scores(right_).less(scores(left), ALL).interval
    assert (found.estimate, found.low, found.high) == pytest.approx((expected.estimate, expected.low, expected.high))


def test_the_order_of_a_record_does_not_matter():
    metrics = mme(3)
    samples = [scored("mme", one, number) for number, one in enumerate(metrics)]
    shuffled = [samples[place] for place in np.random.default_rng(0).permutation(len(samples))]
    difference = scores(samples).less(scores(shuffled), "mme")
    assert difference.estimate == 0
    assert not difference.draws.any()


def test_other_questions_are_not_compared():
    samples = plain("gqa", [1, 0, 1])
    with pytest.raises(ValueError, match="different questions"):
        scores(samples).less(scores(samples[:2]), "gqa")
    with pytest.raises(ValueError, match="different questions"):
        scores(two_tasks(0)).less(scores(samples), ALL)


def test_means_are_over_samples_within_tasks_and_over_tasks():
    samples = [*plain("gqa", [1, 1, 0, 0]), *plain("chartqa", [1, 0], metric="relaxed_overall", group="hard")]
    found = means(samples, lambda sample: float(sample.doc_id))
    assert found.of("easy").estimate == 1.5
    assert found.of("hard").estimate == 0.5
    assert found.of(ALL).estimate == 1.0
    assert found.of("easy").interval.low < 1.5 < found.of("easy").interval.high


def test_spread_is_of_each_draw():
    draws = [Drawn(1.0, np.array([0.0, 3.0])), Drawn(4.0, np.array([1.0, 1.0]))]
    found = Drawn.spread(draws)
    assert found.estimate == 3.0
    assert found.draws.tolist() == [1.0, 2.0]
