"""Coloured shapes in the four corners of a 56 x 56 image: the twins of GQA, POPE, MME and MMStar."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from visor_tasks.mini.asking import article, choose, say, verdicts
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.palette import BACKGROUNDS, COLOR_NAMES, SHAPES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_false_pair, draw_pairs
from visor_tasks.mini.wording import CORNERS, COUNTS

# relation name -> (rows down, columns right) from the named object to the answer, in quadrants
SIDES = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}
SIDE_WORDS = {"left": "to the left of the", "right": "to the right of the", "above": "above the", "below": "below the"}
CORNER_COUNTS = {"circle": "0", "ring": "0", "triangle": "3", "square": "4", "diamond": "4", "cross": "12"}


@dataclass(frozen=True)
class Placed:
    """One object and the quadrant (row, column) it stands in."""

    color: str
    shape: str
    quadrant: tuple[int, int]


class ObjectScene:
    """Up to four 2 x 2-cell objects, colours and shapes all distinct, one per quadrant."""

    def __init__(self, rng: Random, split: str, counts: Sequence[int]) -> None:
        """Draw one of the counts and place that many objects."""
        self.split = split
        self.background = rng.choice(tuple(BACKGROUNDS))
        self.canvas = Canvas(7, 7, self.background)
        count = rng.choice(counts)
        self.pairs = draw_pairs(rng, split, SHAPES, count)
        quadrants = rng.sample([(0, 0), (0, 1), (1, 0), (1, 1)], count)
        self.objects = []
        for (color, shape), quadrant in zip(self.pairs, quadrants, strict=True):
            self.objects.append(Placed(color, shape, quadrant))
            row, column = 4 * quadrant[0] + rng.randrange(2), 4 * quadrant[1] + rng.randrange(2)
            self.canvas.block(row, column, shape, color)
        self.shapes = [thing.shape for thing in self.objects]
        self.absent = [shape for shape in SHAPES if shape not in self.shapes]

    def beside(self, thing: Placed, side: str) -> Placed | None:
        """The object on that side of ``thing``, in the same row or column of quadrants."""
        down, across = SIDES[side]
        wanted = (thing.quadrant[0] + down, thing.quadrant[1] + across)
        return next((other for other in self.objects if other.quadrant == wanted), None)

    def relation(self, rng: Random) -> tuple[Placed, str, Placed] | None:
        """A random true (named object, side, neighbour)."""
        known = [(a, side, b) for a in self.objects for side in SIDES if (b := self.beside(a, side))]
        return rng.choice(known) if known else None

    def false_pair(self, rng: Random, shape: str | None = None) -> tuple[str, str]:
        """A plausible pair that is not there."""
        return draw_false_pair(rng, self.split, SHAPES, self.pairs, kind=shape)

    def true_pair(self, rng: Random) -> tuple[str, str]:
        """One of the pairs that are there."""
        return rng.choice(self.pairs)


def gqa(rng: Random, split: str) -> Scene:
    """GQA: attributes, places and relations, one word as the answer."""
    scene = ObjectScene(rng, split, (3, 4, 4))

    def color(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        return say("color", f"What is the color of the {thing.shape}?", thing.color)

    def shape(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        return say("shape", f"What shape is the {thing.color} object?", thing.shape)

    def beside(rng: Random) -> list[Ask]:
        if not (found := scene.relation(rng)):
            return []
        thing, side, other = found
        return say("relation", f"What is {SIDE_WORDS[side]} {thing.shape}?", other.shape)

    def verify(rng: Random) -> list[Ask]:
        color, shape = scene.true_pair(rng)
        other, named = scene.false_pair(rng, rng.choice(scene.shapes))
        return verdicts(rng, "verify_color", f"Is the {shape} {color}?", f"Is the {named} {other}?")

    def horizontal(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        word = ("left", "right")[thing.quadrant[1]]
        return say("where_horizontal", f"Is the {thing.shape} on the left or on the right?", word)

    def vertical(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        word = ("top", "bottom")[thing.quadrant[0]]
        return say("where_vertical", f"Is the {thing.shape} at the top or at the bottom?", word)

    def verify_relation(rng: Random) -> list[Ask]:
        if not (found := scene.relation(rng)):
            return []
        thing, side, other = found
        words = SIDE_WORDS[side]
        yes, no = f"Is the {other.shape} {words} {thing.shape}?", f"Is the {thing.shape} {words} {other.shape}?"
        return verdicts(rng, "verify_relation", yes, no)

    askers = [(3, color), (2, shape), (3, beside), (1, verify), (1, horizontal), (1, vertical), (1, verify_relation)]
    return Scene(canvas=scene.canvas, askers=askers)  # type: ignore[arg-type]


def pope(rng: Random, split: str) -> Scene:
    """POPE: is it there? Negatives mix a colour and a shape that are both in the image (adversarial)."""
    scene = ObjectScene(rng, split, (2, 3, 4))

    def shape(rng: Random) -> list[Ask]:
        yes, no = (f"Is there a {word} in the image?" for word in (rng.choice(scene.shapes), rng.choice(scene.absent)))
        return verdicts(rng, "random", yes, no)

    def pair(rng: Random) -> list[Ask]:
        yes, no = (
            f"Is there {article(color)} {color} {word} in the image?"
            for color, word in (scene.true_pair(rng), scene.false_pair(rng))
        )
        return verdicts(rng, "adversarial", yes, no)

    def color(rng: Random) -> list[Ask]:
        here = [color for color, _ in scene.pairs]
        gone = [color for color in COLOR_NAMES if color not in here]
        yes, no = (
            f"Is there {article(word)} {word} object in the image?" for word in (rng.choice(here), rng.choice(gone))
        )
        return verdicts(rng, "popular", yes, no)

    return Scene(canvas=scene.canvas, askers=[(2, shape), (3, pair), (1, color)])


def mme_pair(rng: Random, category: str, yes: str, no: str) -> list[Ask]:
    """MME's pair: one question answered Yes and one answered No about the same image."""
    return verdicts(rng, category, yes, no, capital=True, category=category)


def mme_objects(rng: Random, split: str) -> Scene:
    """MME's existence, count, position and color categories."""
    scene = ObjectScene(rng, split, (2, 3, 4))

    def existence(rng: Random) -> list[Ask]:
        yes, no = rng.choice(scene.shapes), rng.choice(scene.absent)
        return mme_pair(rng, "existence", f"Is there a {yes} in this image?", f"Is there a {no} in this image?")

    def count(rng: Random) -> list[Ask]:
        right = len(scene.objects)
        wrong = rng.choice([number for number in (2, 3, 4) if number != right])
        yes, no = (f"Is there a total of {COUNTS[number - 1]} objects in this image?" for number in (right, wrong))
        return mme_pair(rng, "count", yes, no)

    def position(rng: Random) -> list[Ask]:
        if not (found := scene.relation(rng)):
            return []
        thing, side, other = found
        words = {"left": "on the left of the", "right": "on the right of the"}.get(side, f"{side} the")
        yes = f"Is the {other.shape} {words} {thing.shape}?"
        return mme_pair(rng, "position", yes, f"Is the {thing.shape} {words} {other.shape}?")

    def color(rng: Random) -> list[Ask]:
        yes, no = (
            f"Is there {article(color)} {color} {shape} in this image?"
            for color, shape in (scene.true_pair(rng), scene.false_pair(rng))
        )
        return mme_pair(rng, "color", yes, no)

    return Scene(canvas=scene.canvas, askers=[(2, existence), (2, count), (2, position), (2, color)])


def mmstar(rng: Random, split: str) -> Scene:
    """MMStar: four options, six categories."""
    scene = ObjectScene(rng, split, (2, 3, 4))
    corner = {thing.quadrant: thing for thing in scene.objects}

    def ask(
        rng: Random, template: str, category: str, l2: str, question: str, right: str, wrong: Sequence[str]
    ) -> list[Ask]:  # fmt: skip
        return choose(rng, template, question, right, wrong, category=category, l2_category=l2)

    def background(rng: Random) -> list[Ask]:
        question = "What is the color of the background?"
        return ask(
            rng, "background", "coarse perception", "image scene and topic", question, scene.background, [*BACKGROUNDS]
        )

    def counting(rng: Random) -> list[Ask]:
        right = len(scene.objects)
        question = "How many objects are there?"
        words = list(COUNTS[1:5])
        return ask(rng, "count", "fine-grained perception", "object counting", question, COUNTS[right - 1], words)

    def recognition(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        question = f"What is the color of the {thing.shape}?"
        wrong = _prefer(rng, [other.color for other in scene.objects], COLOR_NAMES, thing.color)
        return ask(rng, "color", "fine-grained perception", "recognition", question, thing.color, wrong)

    def localization(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        right = CORNERS[2 * thing.quadrant[0] + thing.quadrant[1]]
        question = f"Where is the {thing.shape}?"
        return ask(rng, "where", "fine-grained perception", "localization", question, right, CORNERS)

    def single(rng: Random) -> list[Ask]:
        thing = rng.choice(scene.objects)
        wrong = _prefer(rng, scene.shapes, SHAPES, thing.shape)
        question = f"Which shape is {thing.color}?"
        return ask(rng, "shape", "instance reasoning", "single-instance reasoning", question, thing.shape, wrong)

    def neighbour_color(rng: Random) -> list[Ask]:
        if not (found := scene.relation(rng)):
            return []
        thing, side, other = found
        wrong = _prefer(rng, [one.color for one in scene.objects], COLOR_NAMES, other.color)
        question = f"What is the color of the object {SIDE_WORDS[side]} {thing.shape}?"
        kind = "cross-instance attribute reasoning"
        return ask(rng, "neighbour_color", "instance reasoning", kind, question, other.color, wrong)

    def neighbour(rng: Random) -> list[Ask]:
        if not (found := scene.relation(rng)):
            return []
        thing, side, other = found
        wrong = [shape for shape in _prefer(rng, scene.shapes, SHAPES, other.shape) if shape != thing.shape]
        question = f"What is {SIDE_WORDS[side]} {thing.shape}?"
        kind = "cross-instance relation reasoning"
        return ask(rng, "neighbour", "instance reasoning", kind, question, other.shape, wrong)

    def missing(rng: Random) -> list[Ask]:
        if len(scene.shapes) < 3:
            return []
        question = "Which shape is not in the image?"
        right = rng.choice(scene.absent)
        return ask(
            rng, "missing", "logical reasoning", "common reasoning", question, right, rng.sample(scene.shapes, 3)
        )

    def compass(rng: Random) -> list[Ask]:
        quadrant = rng.choice(list(corner))
        right = corner[quadrant].shape
        question = f"Which shape is in the {('north', 'south')[quadrant[0]]} {('west', 'east')[quadrant[1]]}?"
        kind = "geography & earth science & agriculture"
        wrong = _prefer(rng, scene.shapes, SHAPES, right)
        return ask(rng, "compass", "science & technology", kind, question, right, wrong)

    def corners(rng: Random) -> list[Ask]:
        known = [thing for thing in scene.objects if thing.shape in CORNER_COUNTS]
        if not known:
            return []
        thing = rng.choice(known)
        question = f"How many corners does the {thing.color} shape have?"
        return ask(rng, "corners", "math", "geometry", question, CORNER_COUNTS[thing.shape], ("0", "3", "4", "12"))

    askers: list[tuple[float, Asker]] = [
        (1, background), (1, counting), (1, recognition), (1, localization), (1, single), (0.7, neighbour_color),
        (0.7, neighbour), (2, missing), (2, compass), (2, corners),
    ]  # fmt: skip
    return Scene(canvas=scene.canvas, askers=askers)


def _prefer(rng: Random, first: Sequence[str], every: Sequence[str], right: str) -> list[str]:
    """Three wrong options, those that are in the image first."""
    here = [word for word in first if word != right]
    rest = [word for word in every if word != right and word not in here]
    return (rng.sample(here, len(here)) + rng.sample(rest, 3))[:4][: max(3, len(here))]
