"""Sweep records made by hand."""

from dataclasses import replace

from visor_eval.records import ConfigurationResult, SweepSample

EASY_AND_HARD = {"gqa_mini": "easy", "docvqa_val_mini": "hard"}


def result(
    configuration, *, complete: bool, score: float | None = None, answer: str | None = "a"
) -> ConfigurationResult:
    """A result of two reference tokens; ``score`` defaults to whether the answer is whole."""
    layers = len(configuration)
    return ConfigurationResult(
        configuration=configuration,
        matched=2 if complete else 0,
        reference_tokens=2,
        answer="a",
        generated_tokens=2,
        score=float(complete) if score is None else score,
        prefill_flops=100 + 10 * layers,
        prefill_flops_causal=90 + 10 * layers,
        decode_flops=5,
        dense_decode_flops=9,
        nominal=float(layers),
    )


def sample(task: str, number: int, results, *, group: str = "easy", **changes) -> SweepSample:
    """One sample of ``task``."""
    made = SweepSample(
        run_id="sweep",
        task=task,
        group=group,
        doc_id=str(number),
        unit=str(number),
        stratum=None,
        prompt=f"question {number}",
        references=("a",),
        reference_tokens=(2,),
        template=None,
        image_hashes=(f"{task} {number}",),
        request_hash=f"{task} {number}",
        vision_tokens=100,
        text_tokens=10,
        tiles=1,
        encode_flops=50,
        dense_encode_flops=50,
        dense_prefill_flops=1000,
        dense_prefill_flops_causal=900,
        nominal_dense=24.0,
        routed=None,
        router_flops=0,
        router_flops_causal=0,
        results=tuple(results),
    )
    return replace(made, **changes)


def easy_and_hard(configurations, *, count: int, hard: int, generated: bool = True, **changes) -> list[SweepSample]:
    """``count`` samples each of an easy and a hard task: they need two layers, the first half of the hard ones more.

    Args:
        configurations: swept.
        count: of each task.
        hard: layers that the first half of the hard ones need.
        generated: whether there are answers and scores.
        **changes: fields of every sample.
    """
    found = []
    for task, group in EASY_AND_HARD.items():
        for number in range(count):
            need = hard if group == "hard" and number < count // 2 else 2
            results = [result(layers, complete=len(layers) >= need) for layers in configurations]
            if not generated:
                results = [replace(one, score=None, answer=None) for one in results]
            found.append(sample(task, number, results, group=group, **changes))
    return found
