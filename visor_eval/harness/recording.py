"""Join what lmms-eval scored with what the generator measured: one SampleRecord per document."""

from collections.abc import Mapping, Sequence
from typing import Any

from visor_eval.harness.generation import Finished
from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.records import SampleRecord
from visor_tasks.scores import METRIC

OWN_KEYS = frozenset(  # of a logged sample; the rest are metrics
    ["doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "token_counts", "doc_hash", "input_media"]
)


class ScoringError(RuntimeError):
    """lmms-eval did not score what was asked. The run is not a result."""


def sample_records(
    run_id: str,
    task: LoadedTask,
    scored: Sequence[Mapping[str, Any]],
    finished: Mapping[tuple[str, int], Finished],
    prompts: Mapping[tuple[str, int], str],
) -> list[SampleRecord]:
    """Records of one task, by document.

    Args:
        run_id: the run they belong to.
        task: the task.
        scored: lmms-eval's logged samples of it.
        finished: answers and costs by (task, document).
        prompts: user turns by (task, document).

    Raises:
        ScoringError: a document was not scored, or scored twice.
    """
    by_document = {int(sample["doc_id"]): sample for sample in scored}
    expected = len(task.rows)
    if len(scored) != expected or sorted(by_document) != list(range(expected)):
        raise ScoringError(f"lmms-eval scored {len(scored)} of {expected} samples of {task.name}")
    documents = task.texts
    records = []
    for position in range(expected):
        key = (task.name, position)
        if key not in finished:
            raise ScoringError(f"{task.name} sample {position} was scored without an answer")
        metrics = _metrics(by_document[position])
        document = documents[position]
        records.append(
            SampleRecord(
                run_id=run_id,
                task=task.name,
                group=task.spec.group,
                doc_id=str(task.rows[position]),
                unit=str(document[task.spec.pair_column]) if task.spec.pair_column else str(task.rows[position]),
                stratum=str(document[task.spec.stratum_column]) if task.spec.stratum_column else None,
                score=_score(task, metrics),
                metrics=metrics,
                prompt=prompts[key],
                answer=finished[key].text,
                references=_references(document, by_document[position]["target"]),
                template=document.get("template"),
                image_hashes=finished[key].image_hashes,
                request_hash=finished[key].request_hash,
                cost=finished[key].cost,
            )
        )
    return records


def _metrics(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _json(value) for key, value in sample.items() if key not in OWN_KEYS}


def _score(task: LoadedTask, metrics: Mapping[str, Any]) -> float:
    """A sample's contribution, 0..1. MME's cognition samples count in no score but keep their own."""
    value = metrics.get(METRIC, metrics.get("mme_cognition_score"))
    if isinstance(value, dict):
        return float(value["score"])
    if value is None:
        raise ScoringError(f"lmms-eval returned no {METRIC} for a sample of {task.name}")
    return float(value) / 100.0


def _references(document: Mapping[str, Any], target: object) -> tuple[str, ...]:
    answers = document.get("answers") or target
    return tuple(map(str, answers)) if isinstance(answers, (list, tuple)) else (str(answers),)


def _json(value: Any) -> Any:
    """Plain JSON values; numpy scalars become numbers."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value.item() if hasattr(value, "item") else value
