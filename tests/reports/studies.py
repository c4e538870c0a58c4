"""Results folders with chosen or random content, in the form that runs leave them."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.analysis.examples import cost
from tests.records.examples import run, sample
from visor_eval.analysis.scores import SCORING, sample_score
from visor_eval.records import RunFolder, RunRecord, SampleRecord

HARD = ("chartqa", "ocrbench", "infovqa_val", "docvqa_val")
TASKS = tuple(SCORING)
THIRTEEN = (  # method -> layers that process vision (None: all), how often it is right
    ("dense", None, 0.8),
    ("downsample", (1, 3, 4, 6, 7, 9), 0.6),
    ("visionzip", (1, 3, 4, 6), 0.65),
    ("sparsevlm", (1, 3, 4, 6, 7), 0.6),
    ("pyramiddrop", (1, 3, 4, 6, 7, 9), 0.62),
    ("fastv", (1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18), 0.75),
    ("vispruner", (1, 3, 4, 6), 0.63),
    ("hired", (1, 3, 4, 6, 7), 0.6),
    ("m3", (1, 3, 4), 0.7),
    ("random", (1, 3, 4, 6), 0.5),
    ("visor-zero", (1, 4, 7), 0.4),
    ("visor", (1, 4, 7, 16), 0.78),
    ("visor-tr", (1, 4), 0.76),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a written run is, for tests."""

    folder: RunFolder
    run: RunRecord
    samples: tuple[SampleRecord, ...]


def metrics_of(task: str, number: int, right: float) -> dict[str, object]:
    """What lmms-eval would have logged for a sample that is right or wrong."""
    if task == "mme":
        category = ("count", "OCR", "color", "existence")[number // 2 % 4]
        return {"mme_perception_score": {"question_id": f"{number // 2}", "category": category, "score": right}}
    if task == "mmstar":
        return {"average": {"question_id": str(number), "l2_category": f"c{number % 3}", "score": right}}
    return {SCORING[task].metrics[0].split(",")[0]: right}


def made_samples(
    run_id: str, task: str, count: int, right: float, *, suite: str = "mini", full: tuple[int, ...] | None = None
) -> list[SampleRecord]:
    """Samples of one task; the same question is easy or hard for every method."""
    difficulty = np.random.default_rng(zlib.crc32(task.encode())).random(count)
    noise = np.random.default_rng(zlib.crc32(f"{run_id}{task}".encode())).normal(0, 0.15, count)
    found = []
    for number in range(count):
        metrics = metrics_of(task, number, float(difficulty[number] + noise[number] < right))
        name = f"{task}_mini" if suite == "mini" else task
        part = sample_score(name, metrics, number)
        found.append(
            replace(
                sample(),
                run_id=run_id,
                task=name,
                group="hard" if task in HARD else "easy",
                doc_id=str(number),
                unit=part.unit,
                stratum=part.stratum,
                score=part.score,
                metrics=metrics,
                prompt=f"{task} question {number}?",
                answer="yes" if part.score else "no",
                references=("yes",),
                cost=cost(full, 600 + 100 * (number % 5)),
            )
        )
    return found


def write_run(
    root: Path,
    model: str = "visor",
    *,
    run_id: str | None = None,
    right: float = 0.7,
    full: tuple[int, ...] | None = (1, 4),
    tasks: Sequence[str] = TASKS,
    counts: int | Mapping[str, int] = 40,
    suite: str = "mini",
    config: Mapping[str, object] | None = None,
    **changes: object,
) -> Made:
    """Write one finished run below ``root``."""
    run_id = run_id or f"20260101-000000-{model}-{suite}"
    samples: list[SampleRecord] = []
    for task in tasks:
        count = counts if isinstance(counts, int) else counts[task]
        samples += made_samples(run_id, task, count, right, suite=suite, full=full)
    names = tuple(dict.fromkeys(one.task for one in samples))
    record = replace(
        run(),
        run_id=run_id,
        model=model,
        checkpoint="embedded:dense-tiny" if suite == "mini" else "llava-onevision-qwen2-0.5b-ov-hf",
        suite=suite,
        tasks=names,
        groups={"easy": tuple(n for n in names if n.removesuffix("_mini") not in HARD)},
        config={"configuration": None, "model_args": {}, "limit": None, "shuffle_images": False, **(config or {})},
        chance=dict.fromkeys(names, 25.0),
        status="finished",
    )
    record = replace(record, **changes)  # type: ignore[arg-type]
    folder = RunFolder(root / run_id)
    folder.write_run(record)
    folder.write_samples(samples)
    effective = {name: {"effective": sum(one.task == name for one in samples)} for name in names}
    (folder.path / "lmms_results.json").write_text(json.dumps({"n-samples": effective}))
    return Made(folder=folder, run=record, samples=tuple(samples))


def write_thirteen(root: Path, counts: int | Mapping[str, int] = 40, *, suite: str = "mini") -> None:
    """Thirteen methods over twelve tasks."""
    for model, full, right in THIRTEEN:
        write_run(root, model, right=right, full=full, counts=counts, suite=suite)
