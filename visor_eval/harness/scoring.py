"""Score several answers to one document, with the task's own filters and scoring code, outside an evaluation."""

import contextlib
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from visor_eval.analysis.scores import SampleScore, sample_score
from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.harness.recording import ScoringError, accepted_answers


def score_answers(task: LoadedTask, position: int, answers: Sequence[str]) -> list[SampleScore]:
    """What each answer contributes to its task's score, as `visor-eval run` would score it.

    Args:
        task: the task.
        position: of the document in the cut data.
        answers: generated texts; equal ones are scored once.

    Raises:
        ScoringError: the task scores under several filters, or none of its metrics is known.
    """
    ensembles: list[Any] = task.task._filters
    if len(ensembles) != 1:
        raise ScoringError(f"{task.name} has {len(ensembles)} filters; a score needs exactly one")
    document = task.texts[position]
    distinct = list(dict.fromkeys(answers))
    instances = [SimpleNamespace(resps=[answer], filtered_resps={}) for answer in distinct]
    ensembles[0].apply(instances, [document] * len(distinct))
    scores = {}
    for answer, instance in zip(distinct, instances, strict=True):
        with contextlib.redirect_stdout(io.StringIO()):  # ocrbench prints
            metrics = task.task.process_results(document, [instance.filtered_resps[ensembles[0].name]])
        try:
            scores[answer] = sample_score(task.name, metrics, str(task.rows[position]))
        except ValueError as error:
            raise ScoringError(str(error)) from error
    return [scores[answer] for answer in answers]


def references(task: LoadedTask, position: int) -> tuple[str, ...]:
    """The accepted answers of a document, each once, without surrounding blanks."""
    document = task.texts[position]
    texts = accepted_answers(document, task.task.doc_to_target(document))
    return tuple(dict.fromkeys(text.strip() for text in texts))
