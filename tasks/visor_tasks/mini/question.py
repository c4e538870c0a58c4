"""What the generator hands out: questions, items, and the two shapes scene builders work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from visor_tasks.mini.canvas import Canvas


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question as a model sees it."""

    task: str
    template: str  # which kind of question; two-hop kinds end in "_2hop"
    prompt: str  # the user text lmms-eval sends, post-prompt included
    answers: tuple[str, ...]  # answers[0] is what a model is trained to say
    meta: dict  # what the row of the real schema needs besides: raw question, options, category, ...


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image and distinct questions about it."""

    image: np.ndarray  # uint8 [height, width, 3], both multiples of 56
    questions: tuple[Question, ...]
    cells: dict[tuple[int, int], tuple[str, ...]]  # (row, column) of an 8 x 8 px cell -> what it shows
    scene_hash: str  # sha256 of the canonical scene description


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question before it has its task's prompt form."""

    template: str
    question: str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    extra: dict = field(default_factory=dict)


Asker = Callable[[Random], list[Ask]]  # a fresh draw: one question, a yes/no pair, or nothing when it cannot ask


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A drawn image and the kinds of question it supports, each with its weight."""

    canvas: "Canvas"
    askers: list[tuple[float, Asker]]
