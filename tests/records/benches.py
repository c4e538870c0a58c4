"""Bench records made by hand."""

from dataclasses import replace

from tests.records.examples import run
from visor_eval.records.bench import BenchEntry, BenchRecord, Phase, PhaseTiming


def timing(phase=Phase.PREFILL, seconds=(2.0, 4.0, 3.0), flops=120, flops_causal=100) -> PhaseTiming:
    return PhaseTiming(phase=phase, seconds=tuple(seconds), flops=flops, flops_causal=flops_causal)


def entry(method="dense", tokens=1458, configuration=None, timings=None, **changes) -> BenchEntry:
    fields = {
        "method": method,
        "configuration": configuration,
        "dense_vision_tokens": tokens,
        "vision_tokens": tokens,
        "timings": tuple(timings or (timing(), timing(Phase.REDUCER, (0.1, 0.1, 0.1), 0, 0))),
        "kv_cache_bytes": 1_000_000,
        "kv_cache_bytes_held": 1_000_000,
        "peak_bytes": None,
    }
    return BenchEntry(**{**fields, **changes})


def record(*entries, **changes) -> BenchRecord:
    fields = {
        "run_id": "20261122-120000-bench-llava-ov-0.5b",
        "backbone": "llava-ov-0.5b",
        "random_weights": True,
        "layers": 24,
        "dtype": "float32",
        "hardware": "a processor",
        "threads": 2,
        "kernels": "packed",
        "batch_size": 1,
        "text_tokens": 32,
        "decode_steps": 4,
        "rounds": 3,
        "entries": entries or (entry(),),
        "provenance": replace(run().provenance, command=("visor-eval", "bench")),
    }
    return BenchRecord(**{**fields, **changes})
