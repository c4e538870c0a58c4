"""Batches from the mini suite's generator: same layout within a batch, deterministic per (seed, step).

A step draws a layout by the task weights, then tasks by their weight within that layout, then items of those tasks; no
state is carried between steps, so a resumed run sees exactly what an uninterrupted one would.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from transformers import LlavaOnevisionProcessor, PreTrainedTokenizerFast

from visor_eval.training.aids import Aids
from visor_eval.training.family import TILE
from visor_eval.training.packed import IGNORED, PackedBatch
from visor_eval.training.pixels import Tiler, embedded, tiler_of
from visor_eval.training.tokenizer import TURN_ASSISTANT, TURN_USER, token_id
from visor_tasks.mini import Item, Question, stream_item

Layout = tuple[int, int]  # rows, columns of an image in units of 56 px, whatever tiles the model has
QUESTION = "QUESTION"  # stands for one in a chat template
LONG_PROMPT = 9  # mean tokens above which a task's questions are batched apart, since padding costs as much as text
SPARE = 3  # questions drawn for one that is asked, where some kinds are left out
PROBE_ITEMS = 24  # per task, to learn its layouts
ROUTER_SEED_OFFSET = 1_000_003  # the router's slice of the training data: same split, other seeds


class Kind(NamedTuple):
    """What the images and questions of one batch have in common."""

    layout: Layout
    long: bool  # many options in the prompt


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step sees."""

    packed: PackedBatch
    questions: tuple[Question | None, ...]  # row by row of the packed tokens; None: padding row
    items: tuple[Item, ...]

    @property
    def answer_tokens(self) -> int:
        """Tokens with a loss."""
        return int((self.packed.labels != IGNORED).sum())

    def share(self, index: int, count: int) -> "Batch":
        """Every ``count``-th image from ``index`` on, with its questions."""
        per_image = len(self.questions) // len(self.items)
        chosen = range(index, len(self.items), count)
        return Batch(
            packed=self.packed.share(index, count),
            questions=tuple(self.questions[image * per_image + row] for image in chosen for row in range(per_image)),
            items=tuple(self.items[image] for image in chosen),
        )


@dataclass
class QuestionTokens:
    """What a model reads of a question: tokens of prompt and answer, remembered since they recur, and tiles."""

    tokenizer: PreTrainedTokenizerFast
    opening: str = TURN_USER  # before the image
    between: str = ""  # image and question
    closing: str = TURN_ASSISTANT  # between question and answer
    tiler: Tiler = embedded  # of the images that are asked about
    _cache: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Look special tokens up once."""
        self.before = self.ids(self.opening)
        self.end, self.pad = (
            token_id(self.tokenizer, str(token)) for token in (self.tokenizer.eos_token, self.tokenizer.pad_token)
        )

    @classmethod
    def of(cls, processor: LlavaOnevisionProcessor) -> "QuestionTokens":
        """As the model behind ``processor`` reads them: its chat template, its tiles."""
        content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
        message = [{"role": "user", "content": content}]
        turn = processor.apply_chat_template(message, add_generation_prompt=True)  # type: ignore[arg-type]
        opening, _, rest = str(turn).partition(processor.image_token)
        between, _, closing = rest.partition(QUESTION)
        return cls(processor.tokenizer, opening, between, closing, tiler_of(processor.image_processor))

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        if text not in self._cache:
            if len(self._cache) > 200_000:
                self._cache.clear()
            self._cache[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self._cache[text]

    def prompt(self, question: Question) -> list[int]:
        """The turn up to where the answer starts, without the image placeholder."""
        return [*self.before, *self.ids(self.between + question.prompt + self.closing)]

    def rows(self, questions: Sequence[Question | None]) -> tuple[torch.Tensor, torch.Tensor]:
        """Right-padded tokens and labels [questions, tokens]; the answer's end token is a label too."""
        rows: list[tuple[list[int], list[int]]] = []
        for question in questions:
            if question is None:
                rows.append((self.before, [IGNORED] * len(self.before)))
                continue
            prompt, answer = self.prompt(question), self.ids(question.answers[0])
            rows.append((prompt + answer, [IGNORED] * (len(prompt) - 1) + answer + [self.end]))
        width = -(-max(len(tokens) for tokens, _ in rows) // 2) * 2
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
    images: int  # per batch, for a single-tile image and short prompts; others get fewer
    questions: int = 6  # per image
    kinds: dict[str, dict["Kind", float]] = field(init=False)  # task -> kind of batch -> share

    def __post_init__(self) -> None:
        """Learn which layouts and prompt lengths each task has."""
        self.kinds = {}
        for task in self.tasks:
            items = [
                stream_item(self.split, task, self.seed, index, questions=self.questions)
                for index in range(PROBE_ITEMS)
            ]
            lengths = [len(self.tokens.prompt(question)) for item in items for question in item.questions]
            long = sum(lengths) / len(lengths) > LONG_PROMPT
            seen = Counter(Kind(layout_of(item), long) for item in items)
            self.kinds[task] = {kind: count / PROBE_ITEMS for kind, count in sorted(seen.items())}

    @property
    def fewest_images(self) -> int:
        """Images of its smallest batches."""
        return min(images_of(self.images, kind) for kinds in self.kinds.values() for kind in kinds)

    def weights(self, given: Sequence[tuple[str, float]]) -> dict[str, float]:
        """Relative frequency of its tasks: as given, 1 for the others."""
        return {task: dict(given).get(task, 1.0) for task in self.tasks}

    def batch(
        self,
        step: int,
        weights: Mapping[str, float] | None = None,
        keep: Keep | None = None,
        aids: Aids | None = None,
    ) -> Batch:
        """The batch of ``step``.

        Args:
            step: 0-based step number.
            weights: relative frequency of the tasks; default equal.
            keep: questions for which it is false are left out where an image has others.
            aids: shares of easier forms of the choice questions.
        """
        draw = random.Random(f"{self.split}/{self.seed}/{step}")
        weights = weights or dict.fromkeys(self.tasks, 1.0)
        mass: dict[Kind, float] = defaultdict(float)
        for task in self.tasks:
            for kind, share in self.kinds[task].items():
                mass[kind] += weights[task] * share / images_of(self.images, kind)  # so that images keep their shares
        kind = draw.choices(sorted(mass), [mass[kind] for kind in sorted(mass)])[0]
        chances = [weights[task] * self.kinds[task].get(kind, 0.0) for task in self.tasks]
        items = []
        asked = self.questions * (SPARE if keep else 1)
        for task in draw.choices(self.tasks, chances, k=images_of(self.images, kind)):
            while True:
                item = stream_item(self.split, task, self.seed, draw.randrange(2**31), questions=asked)
                if layout_of(item) == kind.layout:
                    break
            chosen = [question for question in item.questions if keep is None or keep(question)] or item.questions
            if aids is not None:
                chosen = [aids.apply(question, draw) for question in chosen]
            items.append(replace(item, questions=tuple(chosen[: self.questions])))
        return pack_items(items, self.tokens, self.questions)


def layout_of(item: Item) -> Layout:
    """Rows and columns of an item's image, in units of the suite's 56 px."""
    return item.image.shape[0] // TILE, item.image.shape[1] // TILE


def images_of(single: int, kind: Kind) -> int:
    """Images per batch: fewer where an image or its questions are long, so that all steps take about as long."""
    area = kind.layout[0] * kind.layout[1]
    return max(2, round(single * (1.0 if area == 1 else 0.75 if area == 2 else 0.5) * (0.65 if kind.long else 1.0)))


def pack_items(items: Sequence[Item], tokens: QuestionTokens, questions: int) -> Batch:
    """Join items of one layout; images with too few questions get padding rows without loss."""
    rows: list[Question | None] = []
    for item in items:
        chosen = item.questions[:questions]
        rows += [*chosen, *[None] * (questions - len(chosen))]
    ids, labels = tokens.rows(rows)
    pixels = torch.from_numpy(np.stack([item.image for item in items])).permute(0, 3, 1, 2).contiguous()
    tiled = tokens.tiler(pixels)
    packed = PackedBatch(
        pixels=tiled.pixels,
        rows=tiled.rows,
        columns=tiled.columns,
        size=(pixels.shape[2], pixels.shape[3]),
        tokens=ids.view(len(items), questions, -1),
        labels=labels.view(len(items), questions, -1),
        prefix=len(tokens.before),
    )
    return Batch(packed=packed, questions=tuple(rows), items=tuple(items))
