"""Samples with chosen scores and costs."""

from dataclasses import replace
from functools import cache

import numpy as np

from tests.records.examples import sample
from visor_eval.analysis import sample_score
from visor_eval.cost import LayerPlan, VisorShape, backbone, cost_record, cross_attention_layers
from visor_eval.records import CostRecord, SampleRecord

READ = cross_attention_layers(24)


@cache
def cost(full: tuple[int, ...] | None, vision: int = 729, text: int = 32) -> CostRecord:
    shape = replace(backbone("llava-ov-0.5b"), visor=VisorShape(read_layers=READ, router_hidden=64))
    plan = LayerPlan.dense(24, vision) if full is None else LayerPlan.sparse(24, vision, full=full, read=READ)
    return cost_record(
        shape,
        plan,
        prefix_tokens=3,
        text_tokens=text,
        tiles=2,
        generated_tokens=3,
        dense_vision_tokens=vision,
        configuration=full,
        router=full is not None,
    )


def scored(
    task: str,
    metrics: dict,
    doc_id: int,
    *,
    group: str = "easy",
    run_id: str = "r",
    full: tuple[int, ...] | None = (1, 4),
    vision: int = 729,
) -> SampleRecord:
    """A sample as the harness builds it."""
    score, unit, stratum = sample_score(task, metrics, doc_id)
    return replace(
        sample(),
        run_id=run_id,
        task=task,
        group=group,
        doc_id=str(doc_id),
        unit=unit,
        stratum=stratum,
        score=score,
        metrics=metrics,
        cost=cost(full, vision),
    )


def plain(task: str, values: list[float], metric: str = "exact_match", **options: object) -> list[SampleRecord]:
    return [scored(task, {metric: value}, number, **options) for number, value in enumerate(values)]  # type: ignore[arg-type]


def mme(
    seed: int, pairs: int = 40, categories: tuple[str, ...] = ("count", "OCR", "color", "code_reasoning")
) -> list[dict]:
    """Random per-sample metrics of MME, two questions per pair."""
    chance = np.random.default_rng(seed)
    return [
        {
            "mme_perception_score"
            if categories[pair % len(categories)] != "code_reasoning"
            else "mme_cognition_score": {
                "question_id": f"{pair // len(categories)}.png",
                "category": categories[pair % len(categories)],
                "score": float(chance.random() < 0.7),
            }
        }
        for pair in range(pairs)
        for _ in range(2)
    ]


def mmstar(seed: int, count: int = 60) -> list[dict]:
    """Random per-sample metrics of MMStar, uneven categories."""
    chance = np.random.default_rng(seed)
    found = []
    for index in range(count):
        category = int(chance.integers(0, 8) * chance.random())
        value = {"question_id": index, "l2_category": f"c{category}", "score": float(chance.random() < 0.5)}
        found.append({"coarse perception": value, "average": value})
    return found
