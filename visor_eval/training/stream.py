"""Batches from the mini suite's generator: same layout within a batch, deterministic per (seed, step).

A step draws a layout by the task weights, then tasks by their weight within that layout, then items of those tasks; no
state is carried between steps, so a resumed run sees exactly what an uninterrupted one would.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from visor_tasks.mini import Item, Question, stream_item

from visor_eval.training.family import TILE
from visor_eval.training.packed import IGNORED, PackedBatch
from visor_eval.training.pixels import tiles
from visor_eval.training.tokenizer import END, TURN_ASSISTANT, TURN_USER

Layout = tuple[int, int]  # tile rows, tile columns
PROBE_ITEMS = 24  # per task, to learn its layouts
ROUTER_SEED_OFFSET = 1_000_003  # the router's slice of the training data: same split, other seeds


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step sees."""

    packed: PackedBatch
    questions: tuple[Question | None, ...]  # row by row of the packed tokens; None: padding row
    items: tuple[Item, ...]


@dataclass
class QuestionTokens:
    """Tokenises prompts and answers, remembering both, since they recur."""

    tokenizer: PreTrainedTokenizerFast
    _cache: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Look the turn markers up once."""
        self.user, self.assistant, self.end = self.tokenizer.convert_tokens_to_ids([TURN_USER, TURN_ASSISTANT, END])
        self.pad = self.tokenizer.pad_token_id

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        if text not in self._cache:
            if len(self._cache) > 200_000:
                self._cache.clear()
            self._cache[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self._cache[text]

    def prompt(self, question: Question) -> list[int]:
        """The turn up to where the answer starts, without the image placeholder."""
        return [self.user, *self.ids(question.prompt), self.assistant]

    def rows(self, questions: Sequence[Question | None]) -> tuple[torch.Tensor, torch.Tensor]:
        """Right-padded tokens and labels [questions, tokens]; the answer's end token is a label too."""
        rows: list[tuple[list[int], list[int]]] = []
        for question in questions:
            if question is None:
                rows.append(([self.user], [IGNORED]))
                continue
            prompt, answer = self.prompt(question), self.ids(question.answers[0])
            rows.append((prompt + answer, [IGNORED] * (len(prompt) - 1) + answer + [self.end]))
        width = -(-max(len(tokens) for tokens, _ in rows) // 4) * 4
        tokens = torch.tensor([[*ids, *[self.pad] * (width - len(ids))] for ids, _ in rows])
        labels = torch.tensor([[*due, *[IGNORED] * (width - len(due))] for _, due in rows])
        return tokens, labels


Keep = Callable[[Question], bool]


@dataclass
class Stream:
    """Packed batches of one split of the generator's data."""

    tokens: QuestionTokens
    tasks: tuple[str, ...]
    split: str
    seed: int
    images: int  # per batch, for a single-tile image; larger layouts get fewer
    questions: int = 6  # per image
    layouts: dict[str, dict[Layout, float]] = field(init=False)

    def __post_init__(self) -> None:
        """Learn which layouts each task has."""
        self.layouts = {}
        for task in self.tasks:
            seen = Counter(
                layout_of(stream_item(self.split, task, self.seed, index, questions=1)) for index in range(PROBE_ITEMS)
            )
            self.layouts[task] = {layout: count / PROBE_ITEMS for layout, count in sorted(seen.items())}

    def batch(self, step: int, weights: Mapping[str, float] | None = None, keep: Keep | None = None) -> Batch:
        """The batch of ``step``.

        Args:
            step: 0-based step number.
            weights: relative frequency of the tasks; default equal.
            keep: questions for which it is false are left out where an image has others.
        """
        draw = random.Random(f"{self.split}/{self.seed}/{step}")
        weights = weights or dict.fromkeys(self.tasks, 1.0)
        mass: Counter[Layout] = Counter()
        for task in self.tasks:
            for layout, share in self.layouts[task].items():
                mass[layout] += weights[task] * share
        layout = draw.choices(sorted(mass), [mass[layout] for layout in sorted(mass)])[0]
        chances = [weights[task] * self.layouts[task].get(layout, 0.0) for task in self.tasks]
        items = []
        for task in draw.choices(self.tasks, chances, k=images_of(self.images, layout)):
            while True:
                item = stream_item(self.split, task, self.seed, draw.randrange(2**31), questions=self.questions)
                if layout_of(item) == layout:
                    break
            items.append(item)
        return pack_items(items, self.tokens, self.questions, keep)


def layout_of(item: Item) -> Layout:
    """Tile rows and columns of an item's image."""
    return item.image.shape[0] // TILE, item.image.shape[1] // TILE


def images_of(single: int, layout: Layout) -> int:
    """Images per batch, so that large layouts do not make steps much slower: half as many from four tiles on."""
    return max(2, single * 2 // (2 + (layout[0] * layout[1] - 1) // 2))


def pack_items(items: Sequence[Item], tokens: QuestionTokens, questions: int, keep: Keep | None = None) -> Batch:
    """Join items of one layout; images with too few questions get padding rows without loss."""
    rows: list[Question | None] = []
    for item in items:
        chosen = [question for question in item.questions if keep is None or keep(question)] or list(item.questions)
        chosen = chosen[:questions]
        rows += [*chosen, *[None] * (questions - len(chosen))]
    ids, labels = tokens.rows(rows)
    pixels = torch.from_numpy(np.stack([item.image for item in items])).permute(0, 3, 1, 2).contiguous()
    height, width = layout_of(items[0])
    packed = PackedBatch(
        pixels=tiles(pixels),
        rows=height,
        columns=width,
        tokens=ids.view(len(items), questions, -1),
        labels=labels.view(len(items), questions, -1),
    )
    return Batch(packed=packed, questions=tuple(rows), items=tuple(items))
