"""Router labels from a sweep."""

from dataclasses import replace

import pytest

from tests.analysis.sweeps import result, sample
from tests.records.examples import run as run_record
from visor_eval.analysis.labels import cheapest_first, pseudo_labels
from visor_eval.records import Sweep
from visor_eval.records.pseudo_labels import PER_DATASET, PER_SAMPLE, sample_id

BIG, MIDDLE, SMALL = (1, 4, 7), (1, 7), (1, 4)


def sweep(task: str = "gqa_mini", count: int = 100, **right: int) -> Sweep:
    """The first ``right[name]`` samples are answered by each configuration, listed largest first."""
    listed = (("big", BIG, 130), ("middle", MIDDLE, 120), ("small", SMALL, 110))
    found = [
        sample(
            task,
            number,
            [replace(result(each, complete=number < right[name]), prefill_flops=flops) for name, each, flops in listed],
        )
        for number in range(count)
    ]
    run = replace(run_record(), config={"split": "train", "slice": count, "slice_seed": 3, "device": "cpu"})
    return Sweep(run=run, samples=tuple(found))


@pytest.mark.parametrize(
    ("right", "label"),
    [
        ({"big": 100, "middle": 99, "small": 98}, MIDDLE),
        ({"big": 100, "middle": 98, "small": 99}, SMALL),
        ({"big": 100, "middle": 98, "small": 98}, BIG),
        ({"big": 0, "middle": 0, "small": 0}, SMALL),
        ({"big": 50, "middle": 60, "small": 50}, SMALL),
    ],
)
def test_per_dataset_takes_the_cheapest_within_99_percent(right, label):
    labels = pseudo_labels(sweep(**right), PER_DATASET)
    assert labels.full == BIG
    assert labels.configurations == (SMALL, MIDDLE, BIG)  # fewest layers, then fewest FLOPs
    assert labels.by_task == {"gqa": label}
    assert labels.scores == {"gqa": tuple(float(right[name]) for name in ("small", "middle", "big"))}
    assert labels.samples == {"gqa": 100}
    assert labels.data["split"] == "train"
    assert "device" not in labels.data


def test_per_sample_takes_the_cheapest_with_the_full_models_score():
    found = sweep(count=3, big=2, middle=1, small=0)
    labels = pseudo_labels(found, PER_SAMPLE)
    by_number = [labels.by_sample[sample_id(s.image_hashes, s.prompt)] for s in found.samples]
    assert by_number == [MIDDLE, BIG, SMALL]  # all wrong: the cheapest is as good as the full model
    assert labels.by_task == {}


def test_order_and_what_is_refused():
    found = sweep(count=2, big=1, middle=1, small=1)
    assert cheapest_first(found.samples) == [2, 1, 0]
    dear = [replace(s, results=(*s.results[:2], replace(s.results[2], prefill_flops=999))) for s in found.samples]
    assert cheapest_first(dear) == [1, 2, 0]  # fewer layers come first all the same
    unanswered = [
        replace(s, results=tuple(replace(r, score=None, answer=None) for r in s.results)) for s in found.samples
    ]
    with pytest.raises(ValueError, match="no answers"):
        pseudo_labels(replace(found, samples=tuple(unanswered)), PER_SAMPLE)
    with pytest.raises(ValueError, match="unknown rule"):
        pseudo_labels(found, "guess")
    with pytest.raises(ValueError, match="holds no sample"):
        pseudo_labels(replace(found, samples=()))
