"""Labelled values, the stuff documents are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.palette import COLOR_NAMES, SHAPES
from visor_tasks.mini.question import Ask
from visor_tasks.mini.splits import LETTERS, draw_values, pair_home
from visor_tasks.mini.wording import FIELDS, GOODS

DIGITS = "0123456789"
MIXED = DIGITS + LETTERS


@dataclass(frozen=True)
class Label:
    """What stands beside a value: a small word, a capital or an icon."""

    kind: str  # "word", "letter" or "icon"
    words: tuple[str, ...]  # ("date",), ("K",) or ("red", "circle")

    @property
    def name(self) -> str:
        """As a prompt calls it."""
        return " ".join(self.words)

    def draw(self, canvas: Canvas, row: int, column: int) -> None:
        """Draw it; words take two cells, the others one."""
        if self.kind == "word":
            canvas.word(row, column, self.words[0])
        elif self.kind == "letter":
            canvas.glyph(row, column, self.words[0])
        else:
            canvas.icon(row, column, self.words[1], self.words[0])

    def ask_value(self) -> str:
        """``What is the date?`` or ``What is the value of K?``."""
        if self.kind == "word" and self.words[0] in FIELDS:
            return f"What is the {self.name}?"
        return f"What is the value of {'the ' if self.kind == 'icon' else ''}{self.name}?"


def value_of(template: str, label: Label, value: str) -> list[Ask]:
    """The question for a label's value."""
    return say(template, label.ask_value(), value)


def draw_labels(rng: Random, kind: str, count: int, words: Sequence[str] = (*FIELDS, *GOODS)) -> list[Label]:
    """Distinct labels of one kind. Icons never use a reserved combination."""
    if kind == "word":
        return [Label(kind, (word,)) for word in rng.sample(words, count)]
    if kind == "letter":
        return [Label(kind, (letter,)) for letter in rng.sample(LETTERS, count)]
    free = [(c, s) for c in COLOR_NAMES for index, s in enumerate(SHAPES) if pair_home(c, index) is None]
    return [Label("icon", pair) for pair in rng.sample(free, count)]


def draw_kind(rng: Random) -> str:
    """Mostly words."""
    return rng.choice(("word", "word", "word", "letter", "icon"))


def draw_strings(rng: Random, split: str, count: int, longest: int = 3) -> list[str]:
    """Distinct values of two or more characters, most of them numbers."""
    alphabets = [rng.choice((DIGITS, DIGITS, DIGITS, LETTERS, MIXED)) for _ in range(count)]
    return draw_values(rng, split, alphabets, [rng.randint(2, longest) for _ in range(count)])
