"""Labels joined to their values by leader lines that must be followed cell by cell, up to six cells long.

Every cell of a line is an arrow that points back to the cell it comes from: to its left or above it. So what a value
belongs to is known one cell further on with every step along the line, and not before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import DIGITS, Label, draw_labels
from visor_tasks.mini.glyphs import halves
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_values

TEMPLATE = "line_"  # how the templates begin; the number of arrows follows
SHARE = 0.6  # of the scenes of three hard tasks; of OCRBench, which has ten kinds of question, half
LINES = 6  # in a scene
LONGEST = 6  # arrows in a line
BENDS = 0.8  # share of a line's cells at which it turns
SIZE = 14  # cells on each side
Cell = tuple[int, int]
AskOf = Callable[[str, Label, str], list[Ask]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A label's first cell, the arrows from it on, each with the way it points, and its value's first cell."""

    start: Cell
    arrows: tuple[tuple[Cell, str], ...]
    end: Cell


def has_lines(rng: Random) -> bool:
    """Whether a chart, an infographic or a document is one of these scenes: three in five are."""
    return rng.random() < SHARE


def leader_scene(rng: Random, split: str, words: Sequence[str], ask_value: AskOf, ask_label: AskOf | None) -> Scene:
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
    routes = _routes(rng, [len(halves(label.name)) for label in labels])
    for label, value, route in zip(labels, values, routes, strict=True):
        label.draw(canvas, *route.start)
        for cell, way in route.arrows:
            canvas.icon(*cell, way)
        canvas.text(*route.end, value)

    def asker(ask: AskOf) -> Asker:
        def draw(rng: Random) -> list[Ask]:
            place = rng.randrange(LINES)
            return ask(f"{TEMPLATE}{len(routes[place].arrows)}", labels[place], values[place])

        return draw

    askers = [(3.0, asker(ask_value))]
    return Scene(canvas=canvas, askers=askers if ask_label is None else [*askers, (1.0, asker(ask_label))])


def _routes(rng: Random, widths: list[int]) -> list[Route]:
    """Lines of random lengths that do not touch each other's cells; every length is equally likely."""
    while True:
        taken: set[Cell] = set()
        found = []
        for width in widths:
            route = _route(rng, taken, width, rng.randint(1, LONGEST))
            if route is None:
                break
            found.append(route)
        else:
            return found


def _route(rng: Random, taken: set[Cell], width: int, length: int) -> Route | None:
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
        used = [*cells, *(cell for cell, _ in arrows), end, (end[0], end[1] + 1)]
        beside = (end[0], end[1] + 2)  # stays blank, so that the value ends
        before = (row, column - 1)
        inside = all(r < SIZE and c < SIZE for r, c in used)
        if inside and not taken & {*used, beside, before}:
            taken.update((*used, beside, before))
            return Route(start=(row, column), arrows=tuple(arrows), end=end)
    return None


def _ways(rng: Random, length: int) -> list[str]:
    """Where a line's arrows point. It bends at four of five cells, and ends with one that points left, at a value."""
    ways = ["left"] * min(length, 1)
    while len(ways) < length:
        other = "up" if ways[0] == "left" else "left"
        ways.insert(0, other if rng.random() < BENDS else ways[0])
    return ways
