"""Coloured boards with a word or a number on them: the twin of TextVQA and MME's text categories."""

from dataclasses import dataclass
from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.glyphs import halves
from visor_tasks.mini.objects import mme_pair
from visor_tasks.mini.palette import BACKGROUNDS, COLOR_NAMES
from visor_tasks.mini.question import Ask, Scene
from visor_tasks.mini.splits import allowed, draw_value, pair_home
from visor_tasks.mini.wording import SIGNS

DIGITS = "0123456789"


@dataclass(frozen=True)
class Sign:
    """A board: its colour, what is written on it and whether that is a word."""

    color: str
    text: str
    is_word: bool


def ink_on(color: str) -> str:
    """White on dark boards, black on light ones."""
    return "black" if color in ("yellow", "pink", "orange") else "white"


def draw_sign(rng: Random, split: str, *, own: bool, taken: set[str]) -> Sign:
    """A sign with a fresh colour and text; ``own`` asks for a combination reserved for the split."""
    home = split if own else None
    is_word = rng.random() < 0.5
    while True:
        color = rng.choice(COLOR_NAMES)
        text = rng.choice(SIGNS) if is_word else draw_value(rng, DIGITS, rng.choice((2, 3)), home)
        if color in taken or text in taken or (is_word and pair_home(color, SIGNS.index(text)) != home):
            continue
        taken.update((color, text))
        return Sign(color, text, is_word)


def draw_board(canvas: Canvas, rng: Random, sign: Sign, top: int) -> None:
    """A board over three rows with its text on two of them, at a random column."""
    width = len(halves(sign.text)) if sign.is_word else len(sign.text)
    left = rng.randrange(canvas.columns - width - 1)
    canvas.fill(top, left, 3, width + 2, sign.color)
    first = top + rng.randrange(2)
    for row in (first, first + 1):
        (canvas.word if sign.is_word else canvas.text)(row, left + 1, sign.text, ink_on(sign.color))


def textvqa(rng: Random, split: str) -> Scene:
    """TextVQA: read the word or number on a sign."""
    canvas = Canvas(7, 7, rng.choice(tuple(BACKGROUNDS)))
    count = rng.choice((1, 2, 2, 2))
    own = rng.randrange(count) if split != "train" else -1
    taken = {canvas.background}
    signs = [draw_sign(rng, split, own=place == own, taken=taken) for place in range(count)]
    places = [rng.choice((0, 4))] if count == 1 else [0, 4]
    for sign, top in zip(signs, places, strict=True):
        draw_board(canvas, rng, sign, top)
    mixed = count == 2 and signs[0].is_word != signs[1].is_word

    def by_color(rng: Random) -> list[Ask]:
        sign = rng.choice(signs)
        kind = "word" if sign.is_word else "number"
        return say(f"{kind}_by_color", f"what {kind} is on the {sign.color} sign?", sign.text)

    def by_place(rng: Random) -> list[Ask]:
        place = rng.randrange(count)
        sign, end = signs[place], "top" if places[place] == 0 else "bottom"
        kind = "word" if sign.is_word else "number"
        return say(f"{kind}_by_place", f"what {kind} is at the {end}?", sign.text)

    def by_kind(rng: Random) -> list[Ask]:
        sign = rng.choice(signs)
        if count == 2 and not mixed:
            return []
        kind = "word" if sign.is_word else "number"
        return say(f"{kind}_only", f"what {kind} is in the image?", sign.text)

    def color_of(rng: Random) -> list[Ask]:
        sign = rng.choice(signs)
        return say("color_by_text", f"what is the color of the sign with {sign.text}?", sign.color)

    return Scene(canvas=canvas, askers=[(3, by_color), (2, by_place), (1, by_kind), (1.5, color_of)])


def mme_text(rng: Random, split: str) -> Scene:
    """MME's OCR category: is this the word on the sign?"""
    canvas = Canvas(7, 7, rng.choice(tuple(BACKGROUNDS)))
    while True:
        color, word = rng.choice(COLOR_NAMES), rng.choice(SIGNS)
        home = pair_home(color, SIGNS.index(word))
        if home == (None if split == "train" else split):
            break
    for top in (0, 4):
        draw_board(canvas, rng, Sign(color, word, True), top)

    def read(rng: Random) -> list[Ask]:
        wrong = rng.choice([other for other in SIGNS if other != word and _askable(split, color, other)])
        yes, no = (f'Is the word in the image "{text}"?' for text in (word, wrong))
        return mme_pair(rng, "OCR", yes, no)

    return Scene(canvas=canvas, askers=[(1, read)])


def _askable(split: str, color: str, word: str) -> bool:
    return allowed(split, pair_home(color, SIGNS.index(word)))


def mme_sum(rng: Random, split: str) -> Scene:
    """MME's numerical calculation: two one-digit numbers and a plus sign."""
    canvas = Canvas(7, 7, rng.choice(tuple(BACKGROUNDS)))
    while True:
        first, second = rng.randint(1, 9), rng.randint(1, 9)
        home = {0: "test", 3: "dev"}.get((first + 2 * second) % 6)
        if home == (None if split == "train" else split):
            break
    left, ink = rng.randrange(5), rng.choice(("black", "red", "blue", "purple"))
    for top in (rng.randrange(2), rng.randrange(3, 5), 6):
        canvas.text(top, left, f"{first}+{second}", ink)
    right = first + second

    def add(rng: Random) -> list[Ask]:
        wrong = rng.choice([total for total in range(max(2, right - 3), right + 4) if total != right])
        yes, no = (f"Is the answer to the arithmetic question in the image {total}?" for total in (right, wrong))
        return mme_pair(rng, "numerical_calculation", yes, no)

    return Scene(canvas=canvas, askers=[(1, add)])
