"""A street with vehicles, a traffic light and signs: the twin of RealWorldQA."""

from dataclasses import dataclass
from random import Random

from visor_tasks.mini.asking import choose, say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.palette import ARROWS, VEHICLES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.splits import draw_pairs

LIGHTS = ("red", "yellow", "green")
LIMITS = ("20", "30", "40", "50", "60", "70", "80", "90")


@dataclass(frozen=True)
class Vehicle:
    """One vehicle and the column it stands in."""

    color: str
    kind: str
    column: int


def realworldqa(rng: Random, split: str) -> Scene:
    """RealWorldQA: lights, signs and vehicles; open and multiple-choice questions."""
    canvas = Canvas(7, 7, "cyan")
    canvas.fill(3, 0, 4, 7, "gray", label=False)
    canvas.line(39, 0, 2, 56, "white")
    places = [0, rng.choice((2, 3)), 5]
    rng.shuffle(places)
    askers: list[tuple[float, Asker]] = []
    if rng.random() < 0.75:
        askers.append((2, _light(rng, canvas, places[0])))
    if rng.random() < 0.75:
        askers.append((2, _limit(rng, canvas, places[1])))
    if rng.random() < 0.75:
        askers.append((2, _arrow(rng, canvas, places[2])))
    count = rng.choice((1, 2, 3, 4))
    pairs = draw_pairs(rng, split, VEHICLES, count)
    slots = rng.sample([(row, slot) for row in (3, 5) for slot in range(3)], count)
    middle = rng.choice((2, 3))
    vehicles = []
    for (color, kind), (row, slot) in zip(pairs, slots, strict=True):
        canvas.block(row, (0, middle, 5)[slot], kind, color)
        vehicles.append(Vehicle(color, kind, slot))
    return Scene(canvas=canvas, askers=[*askers, *_vehicles(vehicles)])


def _light(rng: Random, canvas: Canvas, column: int) -> Asker:
    color = rng.choice(LIGHTS)
    canvas.fill(0, column, 2, 2, "black")
    canvas.block(0, column, "circle", color)
    for cell in ((0, column), (0, column + 1), (1, column), (1, column + 1)):
        canvas.cells[cell] = (color, "light")
    return lambda rng: say("light", "What is the color of the traffic light?", color)


def _limit(rng: Random, canvas: Canvas, column: int) -> Asker:
    limit = rng.choice(LIMITS)
    canvas.fill(0, column, 2, 2, "white", label=False)
    for row in (0, 1):
        canvas.text(row, column, limit, "red")
    return lambda rng: say("limit", "What is the speed limit?", limit)


def _arrow(rng: Random, canvas: Canvas, column: int) -> Asker:
    way = rng.choice(ARROWS)
    canvas.fill(0, column, 2, 2, "blue")
    for cell in ((0, column), (0, column + 1), (1, column), (1, column + 1)):
        canvas.icon(*cell, way, "white")
        canvas.cells[cell] = ("blue", way)
    question = "In which direction does the arrow point?"
    return lambda rng: choose(rng, "arrow", question, way, ARROWS, keep=2)


def _vehicles(vehicles: list[Vehicle]) -> list[tuple[float, Asker]]:
    kinds = [vehicle.kind for vehicle in vehicles]

    def color(rng: Random) -> list[Ask]:
        vehicle = rng.choice(vehicles)
        return say("color", f"What is the color of the {vehicle.kind}?", vehicle.color)

    def which(rng: Random) -> list[Ask]:
        vehicle = rng.choice(vehicles)
        wrong = [kind for kind in kinds if kind != vehicle.kind]
        rest = [kind for kind in VEHICLES if kind not in kinds]
        wrong = [*wrong, *rng.sample(rest, len(rest))][:2]
        return choose(rng, "which", f"Which vehicle is {vehicle.color}?", vehicle.kind, wrong, keep=2)

    def count(rng: Random) -> list[Ask]:
        return say("count", "How many vehicles are there?", str(len(vehicles)))

    def side(rng: Random) -> list[Ask]:
        end = rng.choice((0, 2))
        found = [vehicle for vehicle in vehicles if vehicle.column == end]
        others = [vehicle.kind for vehicle in vehicles if vehicle.column != end]
        if len(found) != 1 or not others:
            return []
        word = "left" if end == 0 else "right"
        return choose(rng, "side", f"Which vehicle is on the {word}?", found[0].kind, others, keep=2)

    return [(2, color), (1.5, which), (1, count), (1, side)]
