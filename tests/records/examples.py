"""Records to test with."""

from dataclasses import replace

from visor_eval.cost import LayerPlan, backbone, cost_record
from visor_eval.records import CostRecord, Provenance, RunRecord, SampleRecord


def cost() -> CostRecord:
    record = cost_record(
        backbone("llava-ov-0.5b"),
        LayerPlan.sparse(24, 729, full=(1, 4)),
        prefix_tokens=3,
        text_tokens=9,
        tiles=2,
        generated_tokens=2,
        dense_vision_tokens=729,
        configuration=(1, 4),
    )
    return replace(record, latency_ms=3)


def sample(**changes: object) -> SampleRecord:
    given = {
        "run_id": "r",
        "task": "mme",
        "group": "easy",
        "doc_id": "7",
        "unit": "q1",
        "stratum": "count",
        "score": 1.0,
        "metrics": {
            "mme_perception_score": {"question_id": "q1", "category": "count", "score": 1.0},
            "list": [1, None],
        },
        "prompt": "Ist es grün?\u2028",
        "answer": "Yes",
        "references": ("Yes", "yes"),
        "template": None,
        "image_hashes": ("ab",),
        "request_hash": "cd",
        "cost": cost(),
    }
    return SampleRecord(**{**given, **changes})  # type: ignore[arg-type]


def run(**changes: object) -> RunRecord:
    provenance = Provenance(
        commit=None,
        dirty=None,
        packages={"torch": "2.9"},
        python="3.11",
        platform="Linux x86_64",
        cpu_count=2,
        device="cpu",
        command=("visor-eval", "run"),
        utc="2026-01-01T00:00:00+00:00",
    )
    given = {
        "run_id": "r",
        "model": "visor",
        "checkpoint": "embedded:visor",
        "weights_hash": "ab",
        "suite": "mini",
        "suite_hash": "cd",
        "tasks": ("mme",),
        "groups": {"easy": ("mme",)},
        "config": {"batch_size": "auto", "nested": {"a": [1, 2.5, None, True]}},
        "seeds": {"torch": 1},
        "provenance": provenance,
        "started_utc": "2026-01-01T00:00:00+00:00",
    }
    return RunRecord(**{**given, **changes})  # type: ignore[arg-type]
