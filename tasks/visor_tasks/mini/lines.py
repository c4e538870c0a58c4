"""Lines that must be followed cell by cell: from labels to their values, or as bent bars whose length is the value.

Every cell of a line is an arrow that points back to the cell it comes from: to its left or above it. So what stands at
a line's beginning, and how far away, is known one cell further on with every step along the line, and not before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import DIGITS, Label, draw_labels
from visor_tasks.mini.glyphs import halves
from visor_tasks.mini.palette import COLOR_NAMES, SHAPES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_values, pair_home

TEMPLATES = ("line_", "length", "label_of_bar_color", "longest")  # how the templates begin
LINES = 6  # in a scene
LONGEST = 9  # arrows between a label and its value
CELLS = (3, 9)  # of the shortest and the longest bar
BENDS = 0.8  # share of a line's cells at which it turns
SIZE = 14  # cells on each side
Cell = tuple[int, int]
AskOf = Callable[[str, Label, str], list[Ask]]


@dataclass(frozen=True, kw_only=True)
class BarWording:
    """How a task asks for bent bars: for a label's value always, for the rest where it has words for it."""

    say: Callable[[str, str, str], list[Ask]]  # (template, question, answer)
    largest: str | None = None  # the question for the longest bar
    colors: bool = False  # whether it asks by colour


@dataclass(frozen=True, kw_only=True)
class Route:
    """A label's first cell, the arrows from it on, each with the way it points, and the first cell behind them."""

    start: Cell
    arrows: tuple[tuple[Cell, str], ...]
    end: Cell


def joined_labels(rng: Random, split: str, words: Sequence[str], ask_value: AskOf, ask_label: AskOf | None) -> Scene:
    """A page of labels and two-digit values, each pair joined by a line of its own.

    Args:
        rng: draws the scene.
        split: whose reserved values it may hold.
        words: labels are drawn from these.
        ask_value: (template, label, value) -> how the task asks for a label's value.
        ask_label: (template, label, value) -> how it asks for a value's label; None: it does not.
    """
    labels = draw_labels(rng, "word", LINES, words)
    values = draw_values(rng, split, [DIGITS] * LINES, [2] * LINES)
    canvas = Canvas(SIZE, SIZE)
    routes = _draw_lines(rng, canvas, labels, None, 2)
    for value, route in zip(values, routes, strict=True):
        canvas.text(*route.end, value)

    def asker(ask: AskOf) -> Asker:
        def draw(rng: Random) -> list[Ask]:
            place = rng.randrange(LINES)
            return ask(f"line_{len(routes[place].arrows)}", labels[place], values[place])

        return draw

    askers = [(3.0, asker(ask_value))]
    return Scene(canvas=canvas, askers=askers if ask_label is None else [*askers, (1.0, asker(ask_label))])


def bent_bars(rng: Random, split: str, words: Sequence[str], wording: BarWording) -> Scene:
    """A page of bent bars: each starts at its label and ends with a coloured circle; its value is its number of cells.

    Args:
        rng: draws the scene.
        split: whose reserved (colour, circle) pairs it may hold.
        words: labels are drawn from these.
        wording: how the task asks.
    """
    labels = draw_labels(rng, "word", LINES, words)
    colors = _circle_colors(rng, split)
    lengths = [rng.randint(*CELLS) for _ in labels]
    canvas = Canvas(SIZE, SIZE)
    routes = _draw_lines(rng, canvas, labels, [length - 1 for length in lengths], 1)
    for color, route in zip(colors, routes, strict=True):
        canvas.icon(*route.end, "circle", color)
    names = [label.name for label in labels]

    def value(rng: Random) -> list[Ask]:
        place = rng.randrange(LINES)
        return wording.say("length", labels[place].ask_value(), str(lengths[place]))

    def value_of_color(rng: Random) -> list[Ask]:
        place = rng.randrange(LINES)
        question = f"What is the value of the {colors[place]} bar?"
        return wording.say("length_of_color", question, str(lengths[place]))

    def label_of_color(rng: Random) -> list[Ask]:
        place = rng.randrange(LINES)
        return wording.say("label_of_bar_color", f"What is the label of the {colors[place]} bar?", names[place])

    askers: list[tuple[float, Asker]] = [(3, value)]
    if wording.colors:
        askers += [(2, value_of_color), (1, label_of_color)]
    if (question := wording.largest) is not None and lengths.count(max(lengths)) == 1:
        longest = names[lengths.index(max(lengths))]
        askers.append((0.5, lambda _: wording.say("longest", question, longest)))
    return Scene(canvas=canvas, askers=askers)


def _circle_colors(rng: Random, split: str) -> list[str]:
    """A colour for each bar's circle; outside training one of these combinations is reserved for the split."""
    homes = {color: pair_home(color, SHAPES.index("circle")) for color in COLOR_NAMES}
    own = [color for color, home in homes.items() if home == split]
    free = rng.sample([color for color, home in homes.items() if home is None], LINES - len(own))
    return rng.sample([*own, *free], LINES)


def _draw_lines(rng: Random, canvas: Canvas, labels: list[Label], lengths: list[int] | None, end: int) -> list[Route]:
    """Draw labels, each with a line towards something ``end`` cells wide; returns the lines."""
    routes = _routes(rng, [len(halves(label.name)) for label in labels], lengths, end)
    for label, route in zip(labels, routes, strict=True):
        label.draw(canvas, *route.start)
        for cell, way in route.arrows:
            canvas.icon(*cell, way)
    return routes


def _routes(rng: Random, widths: list[int], lengths: list[int] | None, end: int) -> list[Route]:
    """Lines that do not share cells, from labels of these widths to something ``end`` cells wide.

    Without ``lengths`` every number of arrows up to the longest is equally likely for each.
    """
    while True:
        taken: set[Cell] = set()
        found = []
        for width, length in zip(widths, lengths or [rng.randint(1, LONGEST) for _ in widths], strict=True):
            route = _route(rng, taken, width, length, end)
            if route is None:
                break
            found.append(route)
        else:
            return found


def _route(rng: Random, taken: set[Cell], width: int, length: int, wide: int) -> Route | None:
    """A free line of ``length`` arrows; its cells are then taken. None: not found in some tries."""
    for _ in range(60):
        row, column = rng.randrange(SIZE), rng.randrange(SIZE - width)
        cells = [(row, column + offset) for offset in range(width)]
        arrows: list[tuple[Cell, str]] = []
        at = cells[-1]
        for way in _ways(rng, length):
            at = (at[0] + 1, at[1]) if way == "up" else (at[0], at[1] + 1)
            arrows.append((at, way))
        end = (at[0], at[1] + 1)
        used = [*cells, *(cell for cell, _ in arrows), *((end[0], end[1] + offset) for offset in range(wide))]
        beside = (end[0], end[1] + wide)  # stays blank, so that the value ends
        before = (row, column - 1)
        inside = all(r < SIZE and c < SIZE for r, c in used)
        if inside and not taken & {*used, beside, before}:
            taken.update((*used, beside, before))
            return Route(start=(row, column), arrows=tuple(arrows), end=end)
    return None


def _ways(rng: Random, length: int) -> list[str]:
    """Where a line's arrows point. It bends at four of five cells, and ends with one that points left."""
    ways = ["left"] * min(length, 1)
    while len(ways) < length:
        other = "up" if ways[0] == "left" else "left"
        ways.insert(0, other if rng.random() < BENDS else ways[0])
    return ways
