"""Panels with an icon, a word and a number each: the twin of InfographicVQA."""

from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import DIGITS, Label, draw_labels, value_of
from visor_tasks.mini.lines import BarWording, bent_bars, joined_labels
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_values
from visor_tasks.mini.wording import CORNERS, GOODS

ARROW_STEPS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}
TINTS = ("cyan", "tan", "white")


def infovqa(rng: Random, split: str) -> Scene:
    """InfographicVQA: a grid of panels, some of them joined by an arrow; words with callout lines; bent bars."""
    return rng.choices((_panels, _callouts, _bars), (40, 10, 50))[0](rng, split)


def _callouts(rng: Random, split: str) -> Scene:
    return joined_labels(rng, split, GOODS, value_of, _item_of)


def _bars(rng: Random, split: str) -> Scene:
    wording = BarWording(say=say, largest="Which item is the largest?")
    return bent_bars(rng, split, GOODS, wording)


def _panels(rng: Random, split: str) -> Scene:
    across = 4 if rng.random() < 0.25 else rng.choice((2, 3, 3))
    down = rng.choice((2, 3))
    canvas = Canvas(14, 21 if across == 4 else 14)
    count = across * down
    icons, words = draw_labels(rng, "icon", count), draw_labels(rng, "word", count, GOODS)
    length = rng.choice((2, 2, 3))
    values = draw_values(rng, split, [DIGITS] * count, [length] * count)
    column_step, row_step = (7 if across == 2 else 5), (7 if down == 2 else 5)
    left, top = rng.randrange(2 if across != 3 else 1), rng.randrange(2 if down == 2 else 1)
    order = rng.sample(("icon", "word", "value"), 3)
    tint = rng.choice(TINTS)
    for place in range(count):
        row, column = top + row_step * (place // across), left + column_step * (place % across)
        canvas.fill(row, column, 4, 4, tint, label=False)
        for offset, part in enumerate(order):
            indent = rng.randrange(2)
            if part == "icon":
                icons[place].draw(canvas, row + offset, column + indent)
            elif part == "word":
                words[place].draw(canvas, row + offset, column + indent)
            else:
                canvas.text(row + offset, column + indent, values[place])
    arrows = _arrows(rng, canvas, (across, down), (top, left), (row_step, column_step))
    names = [word.name for word in words]
    corners = dict(zip(CORNERS, (0, across - 1, count - across, count - 1), strict=True))
    askers = _askers(names, [icon.name for icon in icons], values, corners)  # type: ignore[arg-type]
    if arrows:

        def follow(rng: Random) -> list[Ask]:
            start, target = rng.choice(list(arrows.items()))
            question = f"What value does the arrow from {names[start]} lead to?"
            return say("arrow_2hop", question, values[target])

        askers.append((2, follow))
    return Scene(canvas=canvas, askers=askers)


def _item_of(template: str, label: Label, value: str) -> list[Ask]:
    return say(template, f"Which item has the value {value}?", label.name)


def _arrows(
    rng: Random, canvas: Canvas, grid: tuple[int, int], origin: tuple[int, int], step: tuple[int, int]
) -> dict[int, int]:
    """Draw up to two arrows in gaps between panels; returns {from: to}."""
    across, down = grid
    found: dict[int, int] = {}
    steps = [
        (r, c, way)
        for r in range(down)
        for c in range(across)
        for way, (dr, dc) in ARROW_STEPS.items()
        if 0 <= r + dr < down and 0 <= c + dc < across
    ]
    for row, column, way in rng.sample(steps, rng.choice((0, 1, 2, 2))):
        dr, dc = ARROW_STEPS[way]
        start, target = row * across + column, (row + dr) * across + column + dc
        if start in found or found.get(target) == start:
            continue
        found[start] = target
        cell = {"right": (1, 4), "left": (1, -1), "down": (4, 1), "up": (-1, 1)}[way]
        canvas.icon(origin[0] + step[0] * row + cell[0], origin[1] + step[1] * column + cell[1], way)
    return found


def _askers(
    names: list[str], icons: list[str], values: list[str], corners: dict[str, int]
) -> list[tuple[float, Asker]]:
    count = len(names)
    order = sorted(range(count), key=lambda place: int(values[place]))

    def value(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("value_of_word", f"What is the value of {names[place]}?", values[place])

    def value_by_icon(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("value_of_icon", f"What value is next to the {icons[place]}?", values[place])

    def item_by_icon(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("word_of_icon", f"Which item is next to the {icons[place]}?", names[place])

    def item_of_value(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("word_of_value", f"Which item has the value {values[place]}?", names[place])

    def corner(rng: Random) -> list[Ask]:
        word, place = rng.choice(list(corners.items()))
        return say("value_at_corner", f"What is the value at the {word}?", values[place])

    def extreme(rng: Random) -> list[Ask]:
        word, place = rng.choice((("largest", order[-1]), ("smallest", order[0])))
        return say(f"{word}_item", f"Which item is the {word}?", names[place])

    return [(4, value), (2, value_by_icon), (1, item_by_icon), (1, item_of_value), (1.5, corner), (0.5, extreme)]
