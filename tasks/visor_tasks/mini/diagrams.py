"""Four objects joined by arrows, with letters beside them: the twins of AI2D and ScienceQA."""

from random import Random

from visor_tasks.mini.asking import choose
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.palette import BACKGROUNDS, SHAPES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_pairs

PART_LETTERS = "EFGHJKLMNPRSTUVWXYZ"  # no A-D: those name the options
# corners clockwise from the top left, and the arrow cells of the edge that leaves each of them clockwise
CORNER_CELLS = ((0, 0), (0, 5), (5, 5), (5, 0))
EDGE_CELLS = (((0, 3), (1, 3)), ((3, 5), (3, 6)), ((5, 3), (6, 3)), ((3, 0), (3, 1)))
CLOCKWISE = ("right", "down", "left", "up")
COUNTER = ("left", "up", "right", "down")


class Chain:
    """Four shapes in a cycle of arrows; one arrow may be missing."""

    def __init__(self, rng: Random, split: str) -> None:
        """Draw the shapes and the arrows between them."""
        self.canvas = Canvas(7, 7, rng.choice(tuple(BACKGROUNDS)))
        self.pairs = draw_pairs(rng, split, SHAPES, 4)
        self.shapes = [shape for _, shape in self.pairs]
        self.absent = [shape for shape in SHAPES if shape not in self.shapes]
        for (row, column), (color, shape) in zip(CORNER_CELLS, self.pairs, strict=True):
            self.canvas.block(row, column, shape, color)
        clockwise = rng.random() < 0.5
        missing = rng.randrange(8)  # half of the time nothing is missing
        self.after: dict[str, str] = {}
        for edge, cells in enumerate(EDGE_CELLS):
            if edge == missing:
                continue
            first, second = self.shapes[edge], self.shapes[(edge + 1) % 4]
            self.after.update({first: second} if clockwise else {second: first})
            for cell in cells:
                self.canvas.icon(*cell, (CLOCKWISE if clockwise else COUNTER)[edge])

    def step(self, rng: Random, template: str, stem: str, tail: str = "", *, back: bool = False) -> list[Ask]:
        """Ask for the shape one arrow after (or before) another."""
        first, second = rng.choice(list(self.after.items()))
        named, right = (second, first) if back else (first, second)
        wrong = [shape for shape in self.shapes if shape not in (named, right)]
        wrong.append(rng.choice(self.absent))
        return choose(rng, template, f"{stem} {named}{tail}?", right, wrong)


def ai2d(rng: Random, split: str) -> Scene:
    """AI2D: labels, arrows and what follows what; four options."""
    chain = Chain(rng, split)
    letters = rng.sample(PART_LETTERS, 4)
    for (row, column), letter in zip(CORNER_CELLS, letters, strict=True):
        for offset in (0, 1):
            chain.canvas.glyph(2 if row == 0 else 4, column + offset, letter)

    def letter_of(rng: Random) -> list[Ask]:
        place = rng.randrange(4)
        return choose(rng, "letter_of", f"Which letter labels the {chain.shapes[place]}?", letters[place], letters)

    def labelled(rng: Random) -> list[Ask]:
        place = rng.randrange(4)
        return choose(rng, "labelled", f"What is labeled {letters[place]}?", chain.shapes[place], chain.shapes)

    def forward(rng: Random) -> list[Ask]:
        return chain.step(rng, "arrow_from", "What does the arrow from the", " point to")

    def backward(rng: Random) -> list[Ask]:
        return chain.step(rng, "arrow_to", "What points to the", back=True)

    def two_steps(rng: Random) -> list[Ask]:
        starts = [shape for shape in chain.shapes if chain.after.get(chain.after.get(shape, ""))]
        start = rng.choice(starts)
        right = chain.after[chain.after[start]]
        wrong = [*(shape for shape in chain.shapes if shape not in (start, right)), rng.choice(chain.absent)]
        return choose(rng, "two_steps_2hop", f"What comes two steps after the {start}?", right, wrong)

    askers: list[tuple[float, Asker]] = [
        (2, letter_of),
        (2, labelled),
        (1.5, forward),
        (1.5, backward),
        (0.8, two_steps),
    ]
    return Scene(canvas=chain.canvas, askers=askers)


def scienceqa(rng: Random, split: str) -> Scene:
    """ScienceQA: maps, food chains, magnets and solutions."""
    return rng.choice((_map, _food_chain, _laboratory))(rng, split)


def _map(rng: Random, split: str) -> Scene:
    canvas = Canvas(7, 7, rng.choice(tuple(BACKGROUNDS)))
    pairs = draw_pairs(rng, split, SHAPES, 4)
    shapes = [shape for _, shape in pairs]
    for place, (color, shape) in enumerate(pairs):
        canvas.block(4 * (place // 2) + rng.randrange(2), 4 * (place % 2) + rng.randrange(2), shape, color)
    ends = {"north": (0, 1), "south": (2, 3), "west": (0, 2), "east": (1, 3)}

    def farthest(rng: Random) -> list[Ask]:
        way = rng.choice(list(ends))
        right = shapes[rng.choice(ends[way])]
        wrong = [shape for place, shape in enumerate(shapes) if place not in ends[way]]
        return choose(rng, "map", f"Which of these is farthest {way}?", right, wrong, keep=2, hint="")

    return Scene(canvas=canvas, askers=[(1, farthest)])


def _food_chain(rng: Random, split: str) -> Scene:
    chain = Chain(rng, split)

    def eats(rng: Random) -> list[Ask]:
        return chain.step(rng, "eats", "Which of these eats the")

    def eaten(rng: Random) -> list[Ask]:
        return chain.step(rng, "eaten", "Which of these is eaten by the", back=True)

    return Scene(canvas=chain.canvas, askers=[(1, eats), (1, eaten)])


def _laboratory(rng: Random, split: str) -> Scene:
    canvas = Canvas(7, 7, "white")
    (first, left_shape), (second, right_shape) = draw_pairs(rng, split, SHAPES, 2)
    poles = [rng.choice(("NS", "SN")), rng.choice(("NS", "SN"))]
    top = rng.randrange(2)
    for column, pole in zip((0, 4), poles, strict=True):
        canvas.fill(top, column, 1, 3, "gray", label=False)
        for row in (top, top + 1):
            canvas.fill(row, column, 1, 3, "gray", label=False)
            canvas.glyph(row, column, pole[0])
            canvas.glyph(row, column + 2, pole[1])
    counts = rng.choice([(few, many) for few in range(1, 6) for many in range(few + 2, 10)])
    counts = counts if rng.random() < 0.5 else counts[::-1]
    for column, color, shape, count in ((0, first, left_shape, counts[0]), (4, second, right_shape, counts[1])):
        canvas.fill(3, column, 4, 3, "tan", label=False)
        for cell in rng.sample(range(12), count):
            canvas.icon(3 + cell // 3, column + cell % 3, shape, color)

    def magnets(rng: Random) -> list[Ask]:
        right = "repel" if poles[0][1] == poles[1][0] else "attract"
        question = "Will these magnets attract or repel each other?"
        return choose(rng, "magnets", question, right, ("attract", "repel"))

    def particles(rng: Random) -> list[Ask]:
        more = rng.random() < 0.5
        right = "left" if (counts[0] > counts[1]) == more else "right"
        question = f"Which solution has {'more' if more else 'fewer'} particles?"
        return choose(rng, "particles", question, right, ("left", "right"))

    return Scene(canvas=canvas, askers=[(1, magnets), (1, particles)])
