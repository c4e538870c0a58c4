"""Exact match on dev images per task and plan, by teacher-forced argmax: equal to greedy exact match, and faster."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from visor_eval.training.packed import IGNORED, PackedModel, StepPlan
from visor_eval.training.stream import Batch, Layout, Stream, layout_of, pack_items


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Right and asked questions of one kind."""

    right: int
    asked: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / max(1, self.asked)


def row_hits(packed_labels: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> list[bool | None]:
    """Per question row: whether every answer token is the argmax; None for padding rows.

    Args:
        packed_labels: [images, questions, tokens].
        logits: at answer tokens [answer tokens, vocabulary].
        labels: those tokens [answer tokens].
    """
    due = packed_labels.flatten(0, 1) != IGNORED
    owner = due.nonzero()[:, 0]
    misses = (logits.argmax(-1) != labels).float().to(due.device)
    wrong = torch.zeros(due.shape[0], device=due.device).index_add_(0, owner, misses)
    return [bool(miss == 0) if asked else None for miss, asked in zip(wrong, due.any(-1), strict=True)]


def evaluation_batches(stream: Stream, images: int, offset: int = 0) -> list[Batch]:
    """The same ``images`` items per task each time, grouped by layout."""
    from visor_tasks.mini import stream_item

    groups: dict[Layout, list] = defaultdict(list)
    for task in stream.tasks:
        for index in range(offset, offset + images):
            item = stream_item(stream.split, task, stream.seed, index, questions=stream.questions)
            groups[layout_of(item)].append(item)
    batches = []
    for items in groups.values():
        size = stream.images
        batches += [
            pack_items(items[start : start + size], stream.tokens, stream.questions)
            for start in range(0, len(items), size)
        ]
    return batches


@torch.no_grad()
def evaluate(
    model: PackedModel, batches: Sequence[Batch], plans: Mapping[str, StepPlan]
) -> dict[str, dict[str, Tally]]:
    """Tallies per plan and task, and per plan and ``task/template``."""
    found: dict[str, dict[str, Tally]] = {}
    for name, plan in plans.items():
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for batch in batches:
            hits = row_hits(batch.packed.labels, *model.answer_logits(batch.packed, plan))
            for question, hit in zip(batch.questions, hits, strict=True):
                if question is not None and hit is not None:
                    for key in (question.task, f"{question.task}/{question.template}"):
                        counts[key][0] += hit
                        counts[key][1] += 1
        found[name] = {key: Tally(right=right, asked=asked) for key, (right, asked) in sorted(counts.items())}
    return found
