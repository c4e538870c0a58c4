"""Join what lmms-eval scored with what the generator measured: one SampleRecord per document."""

from collections.abc import Mapping, Sequence
from typing import Any

from visor_eval.analysis.scores import SampleScore, sample_score
from visor_eval.harness.generation import Finished
from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.records import SampleRecord

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
        part = _part(task, metrics, str(task.rows[position]))
        records.append(
            SampleRecord(
                run_id=run_id,
                task=task.name,
                group=task.spec.group,
                doc_id=str(task.rows[position]),
                unit=part.unit,
                stratum=part.stratum,
                score=part.score,
                metrics=metrics,
                prompt=prompts[key],
                answer=finished[key].text,
                references=accepted_answers(document, by_document[position]["target"]),
                template=document.get("template"),
                image_hashes=finished[key].image_hashes,
                request_hash=finished[key].request_hash,
                cost=finished[key].cost,
            )
        )
    return records


def _metrics(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _json(value) for key, value in sample.items() if key not in OWN_KEYS}


def _part(task: LoadedTask, metrics: Mapping[str, Any], doc_id: str) -> SampleScore:
    """What the sample contributes to its task's score."""
    try:
        return sample_score(task.name, metrics, doc_id)
    except ValueError as error:
        raise ScoringError(str(error)) from error


def accepted_answers(document: Mapping[str, Any], target: object) -> tuple[str, ...]:
    """The texts that a document accepts, as they stand there."""
    answers = document.get("answers") or target
    return tuple(map(str, answers)) if isinstance(answers, (list, tuple)) else (str(answers),)


def _json(value: Any) -> Any:
    """Plain JSON values; numpy scalars become numbers."""
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value.item() if hasattr(value, "item") else value
