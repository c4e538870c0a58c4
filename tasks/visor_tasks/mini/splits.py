"""Which combinations belong to which split.

A combination is (colour, kind) for objects and signs, or the checksum of a printed value. Two eighths of the
object combinations and two tenths of the value patterns are reserved, half for test and half for dev. A train
scene holds no reserved combination, drawn or named in a question; every dev and test scene holds exactly one of its
own (sometimes more in values), so no scene can occur in two splits. Every single colour, shape, word and digit is
seen in training.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from visor_tasks.mini.palette import COLOR_NAMES

SPLITS = ("train", "dev", "test")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
T = TypeVar("T")


def pair_home(color: str, kind_index: int) -> str | None:
    """The split a (colour, kind) combination is reserved for; None if all may use it."""
    return {0: "test", 4: "dev"}.get((COLOR_NAMES.index(color) + 3 * kind_index) % 8)


def value_home(value: str) -> str | None:
    """The split a printed value is reserved for; None if all may use it."""
    return {3: "test", 7: "dev"}.get(sum((place + 1) * ord(char) for place, char in enumerate(value)) % 10)


def allowed(split: str, home: str | None) -> bool:
    """Whether a scene of this split may hold a combination with that home."""
    return home is None or home == split


def draw_pairs(rng: Random, split: str, kinds: Sequence[str], count: int) -> list[tuple[str, str]]:
    """``count`` (colour, kind) pairs, all colours and kinds distinct; one is reserved outside training."""
    while True:
        colors = rng.sample(COLOR_NAMES, count)
        chosen = rng.sample(range(len(kinds)), count)
        homes = [pair_home(color, kind) for color, kind in zip(colors, chosen, strict=True)]
        own = homes.count(split)
        if own == (split != "train") and own + homes.count(None) == count:
            return [(color, kinds[kind]) for color, kind in zip(colors, chosen, strict=True)]


def draw_false_pair(
    rng: Random, split: str, kinds: Sequence[str], present: Sequence[tuple[str, str]], *, kind: str | None = None
) -> tuple[str, str]:
    """A pair that is not in the scene, reserved as often as the scene's own pairs are.

    Prefers mixtures of a colour and a kind that are both there, so that no half gives the answer away.
    """
    wanted = (split, None) if split != "train" and rng.random() < 1 / len(present) else (None,)
    here = {pair[0] for pair in present}
    shown = {pair[1] for pair in present} if kind is None else {kind}
    taken = set(present)
    for want in wanted:
        for colors, names in ((here, shown), (COLOR_NAMES, shown)):
            pool = [
                (color, name)
                for color in COLOR_NAMES
                if color in colors
                for index, name in enumerate(kinds)
                if name in names and (color, name) not in taken and pair_home(color, index) == want
            ]
            if pool:
                return rng.choice(pool)
    raise AssertionError("every pair is present")


def draw_value(rng: Random, alphabet: str, length: int, home: str | None) -> str:
    """A random string with the wanted home that does not start with 0."""
    while True:
        value = "".join(rng.choice(alphabet) for _ in range(length))
        if value[0] != "0" and value_home(value) == home:
            return value


def draw_values(rng: Random, split: str, alphabets: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """One distinct value per place; outside training exactly one of them is reserved for the split."""
    own = rng.randrange(len(alphabets)) if split != "train" else -1
    values: list[str] = []
    for place, (alphabet, length) in enumerate(zip(alphabets, lengths, strict=True)):
        while True:
            value = draw_value(rng, alphabet, length, split if place == own else None)
            if value not in values:
                values.append(value)
                break
    return values
