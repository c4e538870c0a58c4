"""CKA summaries: means over samples, images as units, curves read off the right pairs."""

from dataclasses import replace

import numpy as np
import pytest

from visor_eval.analysis.cka import full_matrix, summarise_cka
from visor_eval.records import SchemaError
from visor_eval.records.cka import CkaSample


def cka_sample(number: int, values, *, task="gqa", group="easy", states=(0, 1, 1, 2), unit=None) -> CkaSample:
    return CkaSample(
        run_id="r",
        task=task,
        group=group,
        doc_id=str(number),
        unit=unit or f"image {number}",
        request_hash="h",
        configuration=(1, 3),
        vision_tokens=9,
        states=states,
        similarity=(1.0, values[0], values[1], 1.0, values[2], 1.0),
    )


def test_distinct_states_are_spread_over_the_layers() -> None:
    a, b, c = 0.5, 0.25, 0.75
    expected = [[1, a, a, b], [a, 1, 1, c], [a, 1, 1, c], [b, c, c, 1]]
    np.testing.assert_array_equal(full_matrix(cka_sample(0, (a, b, c))), expected)


def test_curves_and_means() -> None:
    report = summarise_cka([cka_sample(0, (0.5, 0.2, 0.8)), cka_sample(1, (0.7, 0.4, 0.6))], resamples=500)
    (task,) = report.tasks
    assert (task.samples, task.units, task.layers, task.distinct) == (2, 2, 3, 3.0)
    assert [step.estimate for step in task.consecutive] == pytest.approx([0.6, 1.0, 0.7])
    assert [step.estimate for step in task.first] == pytest.approx([1.0, 1.0, 0.7])
    assert (task.first[2].low, task.first[2].high) == pytest.approx((0.6, 0.8))
    np.testing.assert_allclose(task.matrix.mean, task.matrix.mean.T)
    assert task.matrix.mean[0, 3] == pytest.approx(0.3)
    assert report.difference is None


def test_samples_with_other_configurations_are_averaged_layer_by_layer() -> None:
    other = replace(cka_sample(1, (0, 0, 0)), states=(0, 1, 1, 1), similarity=(1.0, 0.3, 1.0))
    (task,) = summarise_cka([cka_sample(0, (0.5, 0.2, 0.8)), other], resamples=50).tasks
    assert task.consecutive[2].estimate == pytest.approx((0.8 + 1) / 2)
    assert task.distinct == 2.5


def test_samples_of_one_image_are_drawn_together() -> None:
    values = [(v, v, v) for v in np.random.default_rng(0).random(20)]
    apart = summarise_cka([cka_sample(n, v) for n, v in enumerate(values)], resamples=500).tasks[0]
    paired = [cka_sample(2 * n + k, v, unit=f"i{n}") for n, v in enumerate(values) for k in range(2)]
    together = summarise_cka(paired, resamples=500).tasks[0]
    assert (together.samples, together.units) == (40, 20)
    assert together.first[2] == apart.first[2]  # saying everything twice narrows nothing


def test_groups_are_means_over_tasks_and_hard_is_compared_with_easy() -> None:
    rng = np.random.default_rng(0)

    def task(name: str, group: str, middle: float, count: int) -> list[CkaSample]:
        return [cka_sample(n, middle + 0.05 * rng.random(3), task=name, group=group) for n in range(count)]

    samples = [*task("gqa", "easy", 0.8, 30), *task("pope", "easy", 0.6, 10), *task("docvqa_val", "hard", 0.4, 20)]
    report = summarise_cka(samples, tasks=["pope", "gqa", "docvqa_val"], resamples=300)
    assert [one.name for one in report.tasks] == ["pope", "gqa", "docvqa_val"]
    easy, hard = report.groups
    assert easy.matrix.mean[0, 1] == pytest.approx(np.mean([one.matrix.mean[0, 1] for one in report.tasks[:2]]))
    assert report.difference is not None
    step = report.difference.consecutive[0]
    assert step.estimate == pytest.approx(hard.consecutive[0].estimate - easy.consecutive[0].estimate)
    assert step.high < 0
    assert report.difference.first[0].estimate == 0.0


def test_undefined_pairs_are_left_out() -> None:
    undefined = replace(cka_sample(0, (0, 0, 0)), similarity=(1.0, None, 0.2, None, None, 1.0))
    (task,) = summarise_cka([undefined, cka_sample(1, (0.7, 0.4, 0.6))], resamples=50).tasks
    assert task.matrix.mean[0, 1] == pytest.approx(0.7)
    assert task.matrix.mean[0, 3] == pytest.approx(0.3)
    (alone,) = summarise_cka([undefined], resamples=50).tasks
    assert np.isnan(alone.matrix.mean[0, 1])


def test_records_are_checked() -> None:
    good = cka_sample(0, (0.5, 0.2, 0.8))
    assert CkaSample.from_dict(good.to_dict()) == good
    with pytest.raises(SchemaError, match="make 6 pairs"):
        CkaSample.from_dict({**good.to_dict(), "similarity": [1.0]})
    with pytest.raises(SchemaError, match="number the distinct"):
        CkaSample.from_dict({**good.to_dict(), "states": [0, 2, 2, 3]})
    with pytest.raises(ValueError, match="one model"):
        summarise_cka([good, replace(good, states=(0, 1, 2))])
