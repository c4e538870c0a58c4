"""Bar and lollipop charts with printed values: the twin of ChartQA."""

from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import draw_labels
from visor_tasks.mini.lines import BarWording, bent_bars
from visor_tasks.mini.palette import COLOR_NAMES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import value_home
from visor_tasks.mini.wording import GOODS

HUMAN, AUGMENTED = "human_test", "augmented_test"


def chartqa(rng: Random, split: str) -> Scene:
    """ChartQA: read a bar's value or label, find the largest, look at the neighbour; or the same of bent bars."""
    return (_bent if rng.random() < 0.6 else _straight)(rng, split)


def _bent(rng: Random, split: str) -> Scene:
    def ask(template: str, question: str, answer: str) -> list[Ask]:
        return say(template, question, answer, type=HUMAN)

    wording = BarWording(say=ask, largest="Which bar is the largest?", colors=True)
    return bent_bars(rng, split, GOODS, wording)


def _straight(rng: Random, split: str) -> Scene:
    upright = rng.random() < 0.5
    count = rng.randint(4, 5) if upright else rng.randint(4, 7)
    labels = draw_labels(rng, rng.choice(("word", "word", "letter")), count, GOODS)
    colors = rng.sample(COLOR_NAMES, count)
    values = _draw_heights(rng, split, count)
    canvas = Canvas(14, 14)
    if upright:
        _upright(rng, canvas, labels, values, colors)
    else:
        _lying(rng, canvas, labels, values, colors)
    names = [label.name for label in labels]
    return Scene(canvas=canvas, askers=_askers(names, values, colors, upright=upright))


def _draw_heights(rng: Random, split: str, count: int) -> list[str]:
    """Distinct two-digit values with a clear largest and smallest, whose own sizes vary from chart to chart."""
    while True:
        top = rng.randint(45, 99)
        bottom = rng.randint(10, top // 2)
        rest = rng.sample(range(bottom + 6, top - 5), count - 2)
        values = [str(number) for number in rng.sample([top, bottom, *rest], count)]
        homes = [value_home(value) for value in values]
        own = homes.count(split)
        if own == (split != "train") and own + homes.count(None) == count:
            return values


def _upright(rng: Random, canvas: Canvas, labels: list, values: list[str], colors: list[str]) -> None:
    style = rng.choice(("bar", "bar", "lollipop"))
    first = rng.randrange(14 - 3 * len(labels) + 2)
    for place, (label, value, color) in enumerate(zip(labels, values, colors, strict=True)):
        column = first + 3 * place
        label.draw(canvas, 13, column)
        height = max(8, round(int(value) * 0.88))  # 99 -> 87 px of the 96 above the label row
        top = 104 - height
        if style == "bar":
            canvas.bar(top, 8 * column, height, 14, color)
            canvas.text(top // 8 - 1, column, value)
        else:
            row = top // 8
            canvas.line(8 * row + 4, 8 * column + 3, 104 - 8 * row - 4, 2, color)
            canvas.icon(row, column, "circle", color)
            canvas.text(row - 1, column, value)
    canvas.line(102, 0, 1, 112, "black")


def _lying(rng: Random, canvas: Canvas, labels: list, values: list[str], colors: list[str]) -> None:
    top = rng.randrange(15 - 2 * len(labels))
    at_end = rng.random() < 0.5
    for place, (label, value, color) in enumerate(zip(labels, values, colors, strict=True)):
        row = top + 2 * place
        label.draw(canvas, row, 0)
        width = max(8, round(int(value) * 0.68))  # up to 67 px from column 3
        canvas.bar(8 * row, 20, 7, width, color)
        canvas.text(row, -(-(20 + width) // 8) if at_end else 12, value)
    canvas.line(0, 18, 112, 1, "black")


def _askers(names: list[str], values: list[str], colors: list[str], *, upright: bool) -> list[tuple[float, Asker]]:
    count = len(names)
    order = sorted(range(count), key=lambda place: int(values[place]))

    def value(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("value_of_label", f"What is the value of {names[place]}?", values[place], type=AUGMENTED)

    def value_of_color(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("value_of_color", f"What is the value of the {colors[place]} bar?", values[place], type=AUGMENTED)

    def label_of_color(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("label_of_color", f"What is the label of the {colors[place]} bar?", names[place], type=AUGMENTED)

    def label_of_value(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        return say("label_of_value", f"Which bar has the value {values[place]}?", names[place], type=AUGMENTED)

    def extreme(rng: Random) -> list[Ask]:
        word, place = rng.choice((("largest", order[-1]), ("smallest", order[0])))
        return say(f"{word}_label", f"Which bar is the {word}?", names[place], type=HUMAN)

    def extreme_value(rng: Random) -> list[Ask]:
        word, place = rng.choice((("largest", order[-1]), ("smallest", order[0])))
        return say(f"{word}_value_2hop", f"What is the value of the {word} bar?", values[place], type=HUMAN)

    def end(rng: Random) -> list[Ask]:
        word, place = rng.choice((("first", 0), ("last", -1)))
        return say(f"{word}_value", f"What is the value of the {word} bar?", values[place], type=HUMAN)

    def neighbour(rng: Random) -> list[Ask]:
        place = rng.randrange(count - 1)
        words = ("to the left of", "to the right of") if upright else ("above", "below")
        if rng.random() < 0.5:
            question, right = f"Which bar is {words[0]} {names[place + 1]}?", names[place]
        else:
            question, right = f"Which bar is {words[1]} {names[place]}?", names[place + 1]
        return say("neighbour", question, right, type=HUMAN)

    return [
        (5, value), (2, value_of_color), (1, label_of_color), (1, label_of_value), (1, extreme), (1.5, extreme_value),
        (1, end), (0.7, neighbour),
    ]  # fmt: skip
