"""What someone scores who never looks at the image: the level that a score must exceed to mean anything."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from visor_eval.harness.checkpoints import Checkpoint, read_card
from visor_tasks.scores import METRIC

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask

CARD_KEY = "shuffled_scores"  # in card.json: task -> score of this checkpoint on shuffled images (run --shuffle-images)


def chance_level(task: "LoadedTask", blind: Mapping[str, str], checkpoint: Checkpoint) -> float | None:
    """Score (0-100) of the best image-blind answerer known; None where none is.

    Args:
        task: the documents of the run.
        blind: the majority answer per question template (of the training data).
        checkpoint: its card may hold the model's own score on shuffled images.
    """
    known = []
    if blind and "template" in task.texts.column_names:
        known.append(constant_score(task, blind))
    card = read_card(checkpoint.label.removeprefix("embedded:")) if checkpoint.embedded else {}
    shuffled = card.get(CARD_KEY)
    if isinstance(shuffled, dict) and task.name in shuffled:
        known.append(float(shuffled[task.name]))
    return max(known, default=None)


def constant_score(task: "LoadedTask", answers: Mapping[str, str]) -> float:
    """Score (0-100) of answering every question with the answer that belongs to its template, by lmms-eval's code."""
    scored = [task.task.process_results(doc, [answers.get(doc["template"], "")]) for doc in task.texts]
    values = [sample[METRIC] for sample in scored if METRIC in sample]
    return float(task.task.aggregation()[METRIC](values)) if values else 0.0
