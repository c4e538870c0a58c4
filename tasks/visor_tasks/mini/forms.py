"""Forms and tables full of small print: the twin of DocVQA."""

from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import Label, draw_kind, draw_labels, draw_strings, value_of
from visor_tasks.mini.lines import BarWording, bent_bars, joined_labels
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.wording import FIELDS, GOODS, POINTERS


def docvqa(rng: Random, split: str) -> Scene:
    """DocVQA: forms with the label left of or above the value or joined to it by a line, tables, bent bars."""
    return rng.choices((_side, _above, _narrow, _table, _joined, _bars), (12, 8, 8, 12, 15, 45))[0](rng, split)


def _field_of(template: str, label: Label, value: str) -> list[Ask]:
    return say(template, f"Which field has the value {value}?", label.name)


def _joined(rng: Random, split: str) -> Scene:
    return joined_labels(rng, split, (*FIELDS, *GOODS), value_of, _field_of)


def _bars(rng: Random, split: str) -> Scene:
    return bent_bars(rng, split, (*FIELDS, *GOODS), BarWording(say=say))


class Form:
    """Labels at given places, each with its value; up to two fields that name another."""

    def __init__(self, rng: Random, split: str, places: list[tuple[int, int]], offset: tuple[int, int]) -> None:
        """Draw labels and values for the places; ``offset`` leads from a label to its value."""
        self.kind = draw_kind(rng)
        pointers = rng.choice((0, 1, 2, 2))
        count = len(places) - pointers
        self.labels = draw_labels(rng, self.kind, count)
        self.values = draw_strings(rng, split, count)
        self.targets = dict(zip(POINTERS, rng.sample(range(count), pointers), strict=False))
        self.places, self.offset = places, offset
        self.holes = dict(zip(rng.sample(range(len(places)), pointers), POINTERS, strict=False))

    def draw(self, canvas: Canvas) -> None:
        """Draw every field in reading order."""
        rest = iter(zip(self.labels, self.values, strict=True))
        for index, (row, column) in enumerate(self.places):
            below, right = row + self.offset[0], column + self.offset[1]
            canvas.line(8 * below + 7, 8 * column, 1, 8 * (self.offset[1] + 3))
            if pointer := self.holes.get(index):
                canvas.word(row, column, pointer)
                self.labels[self.targets[pointer]].draw(canvas, below, right)
            else:
                label, value = next(rest)
                label.draw(canvas, row, column)
                canvas.text(below, right, value)

    def askers(self, *, ordered: bool) -> list[tuple[float, Asker]]:
        """Look-ups there and back, first and last when there is one column, and the pointer."""

        def value(rng: Random) -> list[Ask]:
            place = rng.randrange(len(self.labels))
            return value_of(f"value_of_{self.kind}", self.labels[place], self.values[place])

        def label(rng: Random) -> list[Ask]:
            place = rng.randrange(len(self.labels))
            return _field_of(f"{self.kind}_of_value", self.labels[place], self.values[place])

        def end(rng: Random) -> list[Ask]:
            first = rng.random() < 0.5
            if (0 if first else len(self.places) - 1) in self.holes:
                return []
            word = "first" if first else "last"
            return say(f"{word}_value", f"What is the {word} value?", self.values[0 if first else -1])

        def pointer(rng: Random) -> list[Ask]:
            name, target = rng.choice(list(self.targets.items()))
            return say("pointer_2hop", f"What is the value of the field that {name} names?", self.values[target])

        found: list[tuple[float, Asker]] = [(5, value), (1, label)]
        if ordered:
            found.append((1.5, end))
        if self.targets:
            found.append((1.8, pointer))
        return found


def _side(rng: Random, split: str) -> Scene:
    canvas = Canvas(14, 14)
    rows = rng.randint(4, 6)
    top, step = rng.randrange(15 - 2 * rows), 2
    left = rng.randrange(2)
    places = [(top + step * row, left + column) for row in range(rows) for column in (0, 7)]
    form = Form(rng, split, places, (0, 3))
    form.draw(canvas)
    return Scene(canvas=canvas, askers=form.askers(ordered=False))


def _narrow(rng: Random, split: str) -> Scene:
    canvas = Canvas(14, 7)
    rows = rng.randint(5, 7)
    top = rng.randrange(15 - 2 * rows)
    places = [(top + 2 * row, rng.randrange(2)) for row in range(rows)]
    form = Form(rng, split, places, (0, 3))
    form.draw(canvas)
    return Scene(canvas=canvas, askers=form.askers(ordered=True))


def _above(rng: Random, split: str) -> Scene:
    canvas = Canvas(14, 14)
    rows = rng.randint(3, 4)
    top, left = rng.randrange(15 - 3 * rows), rng.randrange(2)
    places = [(top + 3 * row, left + column) for row in range(rows) for column in (0, 5, 10)]
    form = Form(rng, split, places, (1, 0))
    form.draw(canvas)
    return Scene(canvas=canvas, askers=form.askers(ordered=False))


def _table(rng: Random, split: str) -> Scene:
    canvas = Canvas(14, 14)
    rows, columns = rng.randint(4, 6), rng.randint(2, 3)
    heads = draw_labels(rng, rng.choice(("letter", "word")), columns, FIELDS)
    sides = draw_labels(rng, rng.choice(("word", "word", "letter")), rows, GOODS)
    if heads[0].kind == sides[0].kind == "letter":
        sides = draw_labels(rng, "word", rows, GOODS)
    values = draw_strings(rng, split, rows * columns)
    top, left = rng.randrange(13 - 2 * rows), 14 - 4 * columns + rng.randrange(2)
    side = rng.randrange(left - 1)
    for column, head in enumerate(heads):
        head.draw(canvas, top, left + 4 * column)
    canvas.line(8 * top + 7, 0, 1, 112, "black")
    for row, label in enumerate(sides):
        label.draw(canvas, top + 2 + 2 * row, side)
        canvas.line(8 * (top + 2 + 2 * row) + 7, 0, 1, 112)
        for column in range(columns):
            canvas.text(top + 2 + 2 * row, left + 4 * column, values[row * columns + column])

    def cell(rng: Random) -> list[Ask]:
        row, column = rng.randrange(rows), rng.randrange(columns)
        question = f"What is the value in row {sides[row].name} column {heads[column].name}?"
        return say("table_cell", question, values[row * columns + column])

    def row_of(rng: Random) -> list[Ask]:
        place = rng.randrange(len(values))
        return say("row_of_value", f"Which field has the value {values[place]}?", sides[place // columns].name)

    return Scene(canvas=canvas, askers=[(5, cell), (1, row_of)])
