"""The oracle's choice, and what it is compared with."""

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.examples import cost, mme, scored
from tests.records.examples import run as run_record
from visor_eval.analysis import task_score
from visor_eval.analysis.menus import Menu, menus_of_runs, menus_of_sweep, oracle_choice
from visor_eval.analysis.oracle import oracle_report
from visor_eval.records import ConfigurationResult, Run, SweepSample
from visor_reports.oracle import oracle_table

CONFIGURATIONS = ((1, 4), (1, 7), (1, 4, 7), (1, 4, 7, 16))


def result(layers, matched: int, score: float | None, flops: int | None = None) -> ConfigurationResult:
    return ConfigurationResult(
        configuration=layers,
        matched=matched,
        reference_tokens=4,
        answer=None if score is None else "a",
        generated_tokens=4,
        score=score,
        prefill_flops=flops or 1000 * len(layers),
        prefill_flops_causal=900,
        decode_flops=10,
        dense_decode_flops=10,
        nominal=1.0,
    )


def swept(number: int, matched, scores, *, task="gqa", group="easy", routed=(1, 4), **changes) -> SweepSample:
    return SweepSample(
        **{
            "run_id": "s",
            "task": task,
            "group": group,
            "doc_id": str(number),
            "unit": str(number),
            "stratum": None,
            "prompt": "?",
            "references": ("a",),
            "reference_tokens": (4,),
            "template": None,
            "image_hashes": ("0",),
            "request_hash": "h",
            "vision_tokens": 10,
            "text_tokens": 5,
            "tiles": 1,
            "encode_flops": 5,
            "dense_encode_flops": 5,
            "dense_prefill_flops": 24_000,
            "dense_prefill_flops_causal": 20_000,
            "nominal_dense": 24.0,
            "routed": routed,
            "router_flops": 100,
            "router_flops_causal": 90,
            "results": tuple(result(*one) for one in zip(CONFIGURATIONS, matched, scores, strict=True)),
            **changes,
        }
    )


def test_oracle_takes_most_matches_then_fewest_layers_then_fewest_flops() -> None:
    assert oracle_choice(swept(0, (1, 2, 4, 4), (0, 0, 1, 1))) == 2
    assert oracle_choice(swept(0, (4, 4, 4, 4), (1, 1, 1, 1))) == 0
    assert oracle_choice(swept(0, (3, 3, 0, 0), (0, 0, 0, 0))) == 0
    cheaper = swept(0, (4, 4, 4, 4), (1, 1, 1, 1))
    cheaper = replace(
        cheaper, results=(cheaper.results[0], replace(cheaper.results[1], prefill_flops=1), *cheaper.results[2:])
    )
    assert oracle_choice(cheaper) == 1
    assert oracle_choice(swept(0, (0, 0, 0, 2), (None,) * 4)) == 3  # no scores are needed


SAMPLES = [
    swept(0, (4, 0, 0, 4), (1, 0, 0, 1)),
    swept(1, (0, 4, 4, 4), (0, 1, 1, 1), routed=(1, 7)),
    swept(2, (0, 0, 4, 4), (0, 0, 1, 1), routed=(1, 7)),
    swept(3, (0, 0, 0, 0), (0, 0, 0, 0)),
]


def test_ways_by_hand() -> None:
    report = oracle_report(SAMPLES, chance={"gqa": 10.0}, resamples=200)
    (task,) = report.tasks
    assert [way.score.estimate for way in task.fixed] == [25.0, 25.0, 50.0, 75.0]
    assert task.oracle.score.estimate == 75.0
    assert task.oracle.flops == (2000 + 2000 + 3000 + 2000) / 4
    assert task.oracle.saving.estimate == pytest.approx(24_000 / 2250)
    assert task.oracle.layers == pytest.approx(9 / 4)
    assert task.oracle_share == (0.5, 0.25, 0.25, 0.0)
    assert task.router is not None
    assert task.router.score.estimate == 50.0
    assert task.router.flops == 2100
    assert task.router_share == (0.5, 0.5, 0.0, 0.0)
    assert task.regret is not None
    assert task.regret.estimate == 25.0
    assert task.best_fixed.configuration == (1, 4, 7, 16)
    assert task.gain.estimate == 0.0  # over the best fixed one at any cost
    assert task.fixed_at_router is not None
    assert (
        task.fixed_at_oracle.configuration == task.fixed_at_router.configuration == (1, 4)
    )  # no dearer than 2,250, 2,100
    assert task.router_gain is not None
    assert task.router_gain.difference.estimate == 25.0
    assert task.chance == 10.0
    assert report.overall.oracle.score.estimate == task.oracle.score.estimate
    assert [way.score.estimate for way in task.fixed] == [25, 25, 50, 75]


def test_groups_are_means_and_order_is_as_asked() -> None:
    other = [replace(sample, task="chartqa", group="hard") for sample in SAMPLES[:2]]
    report = oracle_report([*SAMPLES, *other], tasks=["chartqa", "gqa"], resamples=100)
    assert [task.name for task in report.tasks] == ["chartqa", "gqa"]
    assert [group.name for group in report.groups] == ["hard", "easy"]
    assert report.overall.oracle.score.estimate == pytest.approx((100 + 75) / 2)
    assert report.overall.fixed[0].saving.estimate == pytest.approx(12)
    assert set(report.luck_adjusted) == {"chartqa", "gqa"}


def test_scores_keep_each_tasks_rule() -> None:
    """MME counts question pairs: choosing per sample and scoring is scoring the chosen samples."""
    samples = []
    for number, metric in enumerate(mme(4, pairs=20)):
        one = scored("mme", metric, number)
        scores = tuple(float(bit) for bit in np.random.default_rng(number).integers(0, 2, 4))
        matched = tuple(4 * int(score) for score in scores)
        samples.append(swept(number, matched, scores, task="mme", unit=one.unit, stratum=one.stratum))
    report = oracle_report(samples, resamples=50)
    chosen = [sample.sample(sample.results[oracle_choice(sample)]) for sample in samples]
    assert report.tasks[0].oracle.score.estimate == pytest.approx(task_score(chosen))
    fixed = [sample.sample(sample.results[2]) for sample in samples]
    assert report.tasks[0].fixed[2].score.estimate == pytest.approx(task_score(fixed))


def test_dense_and_missing_router() -> None:
    unrouted = [replace(sample, routed=None) for sample in SAMPLES]
    dense = [replace(sample.sample(sample.results[0]), score=1.0) for sample in SAMPLES]
    (task,) = oracle_report(unrouted, dense=dense, resamples=50).tasks
    assert (task.router, task.regret, task.router_gain) == (None, None, None)
    assert task.dense is not None
    assert (task.dense.score.estimate, task.dense.flops) == (100.0, 24_000)
    assert oracle_report(unrouted, dense=dense[:2], resamples=50).tasks[0].dense is None


def test_plain_runs_give_the_same_menus_as_a_sweep() -> None:
    def run(layers, values, router: bool = False) -> Run:
        samples = tuple(
            replace(scored("gqa", {"exact_match": value}, number), cost=replace(cost(layers), configuration=layers))
            for number, value in enumerate(values)
        )
        return Run(run=run_record(), samples=samples)

    runs = [run(layers, [float(i == j) for j in range(4)]) for i, layers in enumerate(CONFIGURATIONS)]
    menus = menus_of_runs(runs, router=run((1, 7), [0.0, 1.0, 0.0, 0.0]))
    report = oracle_report(menus, resamples=50)
    assert report.tasks[0].oracle.score.estimate == 100.0
    assert report.tasks[0].oracle_share == (0.25,) * 4
    assert report.tasks[0].router is not None
    assert report.tasks[0].router.flops == pytest.approx(cost((1, 7)).total())
    with pytest.raises(ValueError, match="one run per configuration"):
        menus_of_runs([runs[0], runs[0]])
    with pytest.raises(ValueError, match="different samples"):
        menus_of_runs([runs[0], Run(run=runs[1].run, samples=runs[1].samples[:2])])


def test_what_cannot_be_reported_is_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        oracle_report([swept(0, (0, 0, 0, 0), (None,) * 4)])
    with pytest.raises(ValueError, match="0 different"):
        oracle_report([])
    by_score = menus_of_sweep([swept(0, (4, 0, 0, 0), (0, 0, 1, 0))], by_score=True)
    assert isinstance(by_score[0], Menu)
    assert oracle_report(by_score, resamples=20).tasks[0].oracle.score.estimate == 100.0


def test_table_fits_and_names_everything() -> None:
    text = oracle_table(oracle_report(SAMPLES, resamples=100))
    assert max(map(len, text.splitlines())) <= 100
    for word in ("gqa", "[1,4,7,16]", "75.0", "regret", "luck"):
        assert word in text
    assert "luck" not in oracle_table(oracle_report([replace(s, results=s.results[:3]) for s in SAMPLES], resamples=50))
