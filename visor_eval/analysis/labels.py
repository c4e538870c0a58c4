"""Router labels from a sweep over training data: per data set (the paper) or per sample."""

import math
from collections.abc import Sequence

from visor_eval.analysis.scores import benchmark, task_score
from visor_eval.records import Sweep, SweepSample
from visor_eval.records.pseudo_labels import (
    PER_DATASET,
    PER_SAMPLE,
    TARGET,
    PseudoLabels,
    cheapest_equal,
    cheapest_reaching,
    sample_id,
)


def pseudo_labels(sweep: Sweep, rule: str = PER_DATASET, *, target: float = TARGET) -> PseudoLabels:
    """Label every task, or every sample, of a sweep.

    Args:
        sweep: over training data, with answers.
        rule: ``per-dataset`` or ``per-sample``.
        target: per-dataset: share of the full model's score to reach.

    Raises:
        ValueError: an empty sweep, one without task scores, or an unknown rule.
    """
    if not sweep.samples:
        raise ValueError(f"{sweep.run.run_id} holds no sample")
    order = cheapest_first(sweep.samples)
    configurations = tuple(sweep.samples[0].results[index].configuration for index in order)
    full = max(range(len(configurations)), key=lambda index: len(configurations[index]))
    tasks: dict[str, list[SweepSample]] = {}
    for sample in sorted(sweep.samples, key=lambda sample: _place(sample, sweep.run.tasks)):
        tasks.setdefault(benchmark(sample.task), []).append(sample)
    found = {task: _scores(samples, order) for task, samples in tasks.items()}
    scores = {task: each for task, each in found.items() if not any(map(math.isnan, each))}  # MME without a whole pair
    by_task, by_sample = {}, {}
    if rule == PER_DATASET:
        by_task = {task: configurations[cheapest_reaching(each, full, target)] for task, each in scores.items()}
    elif rule == PER_SAMPLE:
        for sample in sweep.samples:
            own = [_score(sample, index) for index in order]
            identity = sample_id(sample.image_hashes, sample.prompt)
            by_sample[identity] = configurations[cheapest_equal(own, full)]
    config = sweep.run.config
    data = {key: config[key] for key in ("split", "slice", "slice_seed", "limit") if key in config}
    hashes = {"suite_hash": sweep.run.suite_hash, "data_hashes": dict(sweep.run.data_hashes)}
    return PseudoLabels(
        rule=rule,
        target=target,
        full=configurations[full],
        configurations=configurations,
        by_task=by_task,
        by_sample=by_sample,
        scores=scores,
        samples={task: len(samples) for task, samples in tasks.items()},
        checkpoint=sweep.run.checkpoint,
        weights_hash=sweep.run.weights_hash,
        data={"suite": sweep.run.suite, **hashes, **data},
        run_id=sweep.run.run_id,
    )


def cheapest_first(samples: Sequence[SweepSample]) -> list[int]:
    """Indices of the configurations: fewest self-attention layers first, then fewest prefill FLOPs in all."""
    results = samples[0].results
    flops = [sum(sample.results[index].prefill_flops for sample in samples) for index in range(len(results))]
    return sorted(range(len(results)), key=lambda index: (results[index].self_attention_layers, flops[index], index))


def _place(sample: SweepSample, tasks: Sequence[str]) -> int:
    """Tasks in the order of the run; samples are recorded in the order of their sizes."""
    return tasks.index(sample.task) if sample.task in tasks else len(tasks)


def _scores(samples: Sequence[SweepSample], order: Sequence[int]) -> tuple[float, ...]:
    return tuple(task_score([sample.sample(sample.results[index]) for sample in samples]) for index in order)


def _score(sample: SweepSample, index: int) -> float:
    score = sample.results[index].score
    if score is None:
        raise ValueError(f"{sample.task} {sample.doc_id}: this sweep generated no answers, so there is no task score")
    return score
