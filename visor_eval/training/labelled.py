"""Batches of questions that already have a router label, from a file of pseudo-labels."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count

import torch
from torch import Tensor

from visor_eval.errors import SetupError
from visor_eval.records.hashes import rgb_hash
from visor_eval.records.pseudo_labels import PER_SAMPLE, PseudoLabels, sample_id
from visor_eval.training.stream import Batch, Layout, QuestionTokens, layout_of, pack_items
from visor_tasks.mini import Item, stream_item
from visor_tasks.mini.rows import MME_QUESTIONS

Configuration = tuple[int, ...]
SEARCHED = 50  # items looked at per labelled one, at most: rows leave out scenes that repeat


class LabelledQuestions:
    """The slice of training data behind a per-sample file, drawn again, in batches of one layout."""

    def __init__(
        self,
        labels: PseudoLabels,
        configurations: Sequence[Configuration],
        tokens: QuestionTokens,
        tasks: Sequence[str],
        *,
        images: int,
        seed: int,
    ) -> None:
        """Find the labelled questions.

        Args:
            labels: per-sample, of a train slice of the mini suite.
            configurations: what the router chooses from.
            tokens: tokenises questions.
            tasks: whose questions are wanted; all of them must be labelled.
            images: per batch.
            seed: of the order of the batches.

        Raises:
            SetupError: labels of other data, of other configurations, or not of all tasks.
        """
        check_labels(labels, configurations, tasks)
        if labels.rule != PER_SAMPLE or labels.data.get("split") != "train" or "slice" not in labels.data:
            raise SetupError("these are no per-sample labels of a train slice of the mini suite")
        self._labels: dict[str | None, int] = {
            identity: configurations.index(label) for identity, label in labels.by_sample.items()
        }
        self._seed = seed
        slice_seed = int(str(labels.data["slice_seed"]))
        groups: dict[tuple[Layout, int], list[Item]] = defaultdict(list)
        for task in tasks:
            for item in self._items(task, slice_seed, labels.samples[task]):
                groups[layout_of(item), len(item.questions)].append(item)
        self._batches = [
            pack_items(items[start : start + images], tokens, questions)
            for (_, questions), items in sorted(groups.items())
            for start in range(0, len(items), images)
        ]

    def batch(self, step: int) -> tuple[Batch, Tensor]:
        """The batch of a 0-based step and its targets, one per question row; -100: no label."""
        epoch, place = divmod(step, len(self._batches))
        order = list(range(len(self._batches)))
        random.Random(f"{self._seed}/{epoch}").shuffle(order)
        batch = self._batches[order[place]]
        per_item = len(batch.questions) // len(batch.items)
        targets = []
        for row, question in enumerate(batch.questions):
            identity = None if question is None else _identity(batch.items[row // per_item], question.prompt)
            targets.append(self._labels.get(identity, -100))
        return batch, torch.tensor(targets)

    def _items(self, task: str, seed: int, labelled: int) -> list[Item]:
        """The items of a task that have labels, in the order of their rows."""
        items, found, seen = [], 0, set()
        for index in count():
            if found >= labelled:
                return items
            if index > SEARCHED * labelled:
                raise SetupError(f"only {found} of {labelled} labelled questions of {task} could be drawn again")
            item = stream_item("train", task, seed, index, MME_QUESTIONS if task == "mme" else 1)
            due = sum(_identity(item, question.prompt) in self._labels for question in item.questions)
            if due and item.scene_hash not in seen:
                seen.add(item.scene_hash)
                items.append(item)
                found += due
        raise AssertionError("count never ends")


def check_labels(labels: PseudoLabels, configurations: Sequence[Configuration], tasks: Sequence[str]) -> None:
    """Raise SetupError where labels do not fit what the router chooses from, or miss a task."""
    strangers = sorted(set(labels.configurations) ^ set(configurations))
    if strangers:
        raise SetupError(
            f"the labels of {labels.run_id} compare other configurations than the model has ({strangers} differ): "
            "make them with `visor-eval oracle --labels` on the same checkpoint, without --configs"
        )
    missing = sorted(set(tasks) - set(labels.samples))
    if missing:
        raise SetupError(f"the labels of {labels.run_id} lack {', '.join(missing)}: label these tasks, or exclude them")


def task_indices(labels: PseudoLabels, configurations: Sequence[Configuration], tasks: Sequence[str]) -> dict[str, int]:
    """Task -> index of its per-dataset label.

    Raises:
        SetupError: labels of other configurations, or not of all tasks.
    """
    check_labels(labels, configurations, tasks)
    by_task: Mapping[str, Configuration] = labels.by_task
    missing = sorted(set(tasks) - set(by_task))
    if missing:
        raise SetupError(f"the labels of {labels.run_id} hold no label for {', '.join(missing)}")
    return {task: configurations.index(by_task[task]) for task in tasks}


def _identity(item: Item, prompt: str) -> str:
    height, width = item.image.shape[:2]
    return sample_id([rgb_hash(width, height, item.image.tobytes())], prompt)
