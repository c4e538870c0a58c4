"""Words, numbers, formulas, signs and receipts: the twin of OCRBench with its ten question types."""

from random import Random

from visor_tasks.mini.asking import say
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.fields import DIGITS, MIXED, Label, draw_labels
from visor_tasks.mini.lines import BarWording, bent_bars, joined_labels
from visor_tasks.mini.palette import COLOR_NAMES
from visor_tasks.mini.question import Ask, Asker, Scene
from visor_tasks.mini.signs import ink_on
from visor_tasks.mini.splits import LETTERS, allowed, draw_value, draw_values, value_home
from visor_tasks.mini.wording import FIELDS, GOODS, OCR_FORMULA, OCR_KEY_SUFFIX, SIGNS, TOTAL

# question type -> the real collection its images come from
STYLES = {
    "Regular Text Recognition": "IIIT5K",
    "Irregular Text Recognition": "SVTP",
    "Artistic Text Recognition": "WordArt",
    "Handwriting Recognition": "IAM",
    "Non-Semantic Text Recognition": "NonSemanticText",
}
SPELLED = tuple(word.upper() for word in (*FIELDS, *GOODS, *SIGNS))


def ocrbench(rng: Random, split: str) -> Scene:
    """OCRBench: a strip with three kinds of text, a page with signs above a receipt, joined labels or bent bars."""
    return rng.choices((_strip, _page, _joined, _bars), (12, 8, 8, 12))[0](rng, split)


def _joined(rng: Random, split: str) -> Scene:
    return joined_labels(rng, split, (*FIELDS, *GOODS), _document, None)


def _bars(rng: Random, split: str) -> Scene:
    return bent_bars(rng, split, GOODS, BarWording(say=_of_document))


def _of_document(template: str, question: str, answer: str) -> list[Ask]:
    return say(template, question, answer, question_type="Doc-oriented VQA", dataset="docVQA")


def _document(template: str, label: Label, value: str) -> list[Ask]:
    return _of_document(template, f"What is the value of {label.name}?", value)


def _strip(rng: Random, split: str) -> Scene:
    canvas = Canvas(7, 14)
    style = rng.choice(list(STYLES))
    plain = style != "Non-Semantic Text Recognition"
    own = rng.randrange(2) if split != "train" else -1
    number = draw_value(rng, DIGITS, rng.choice((3, 4)), split if own == 0 else None)
    while True:
        left, sign, right = draw_value(rng, DIGITS, rng.choice((1, 2)), None), rng.choice("+-="), rng.choice(MIXED)
        formula = f"{left}{sign}{right}"
        if value_home(formula) == (split if own == 1 else None):
            break
    text = rng.choice(SPELLED) if plain else draw_value(rng, LETTERS, 4, None)
    _written(rng, canvas, style, text, rng.randrange(2), rng.randrange(9))
    number_row, formula_row = rng.sample((4, 6), 2)
    canvas.text(number_row, rng.randrange(14 - len(number)), number, rng.choice(COLOR_NAMES))
    canvas.text(formula_row, rng.randrange(14 - len(formula)), formula)

    def read(rng: Random) -> list[Ask]:
        question = "what is the word in the image?" if plain else "what is the letter string in the image?"
        return say(_slug(style), question, text, question_type=style, dataset=STYLES[style])

    def digits(rng: Random) -> list[Ask]:
        kind = "Digit String Recognition"
        return say(_slug(kind), "what is the number in the image?", number, question_type=kind, dataset="ORAND")

    def expression(rng: Random) -> list[Ask]:
        kind = "Handwritten Mathematical Expression Recognition"
        return say("formula", OCR_FORMULA, formula, question_type=kind, dataset="HME100k")

    return Scene(canvas=canvas, askers=[(2, read), (1, digits), (1, expression)])


def _slug(kind: str) -> str:
    return kind.removesuffix(" Recognition").lower().replace(" ", "_").replace("-", "_")


def _written(rng: Random, canvas: Canvas, style: str, text: str, row: int, column: int) -> None:
    color = rng.choice(COLOR_NAMES)
    climb = rng.choice((0, 1))
    for place, char in enumerate(text):
        at = column + place
        if style == "Irregular Text Recognition":
            canvas.glyph(row + (place + climb) % 2, at, char)
        elif style == "Artistic Text Recognition":
            canvas.fill(row, at, 1, 1, color)
            canvas.glyph(row, at, char, ink_on(color))
        elif style == "Handwriting Recognition":
            canvas.glyph(row, at, char, "blue", shift=(rng.randrange(2), rng.randrange(3)))
        else:
            canvas.glyph(row, at, char)


def _page(rng: Random, split: str) -> Scene:
    canvas = Canvas(14, 14)
    lines = rng.randint(3, 4)
    signs = rng.randint(2, 3)
    alphabets = [DIGITS] * (lines + 1) + [rng.choice((DIGITS, LETTERS, LETTERS)) for _ in range(signs)]
    while True:
        drawn = draw_values(rng, split, alphabets, [2] * lines + [3] * (signs + 1))
        total = str(sum(int(price) for price in drawn[:lines]))
        if allowed(split, value_home(total)) and total not in drawn:
            break
    prices, date, texts = drawn[:lines], drawn[lines], drawn[lines + 1 :]
    colors = rng.sample(COLOR_NAMES, signs)
    for place, (color, text) in enumerate(zip(colors, texts, strict=True)):
        column = 5 * place
        canvas.fill(0, column, 3, 4, color)
        canvas.text(1, column + rng.randrange(2), text, ink_on(color))
    items = draw_labels(rng, "word", lines, GOODS)
    left, price_at = rng.randrange(4), rng.randint(8, 10)
    (field,) = draw_labels(rng, "word", 1, FIELDS)
    entries = [(field.name, date), *zip([item.name for item in items], prices, strict=True), (TOTAL, total)]
    step = rng.choice((1, 2, 2))
    highest = {5: 4, 6: 3}[len(entries)]
    top = rng.randint(highest, 14 - len(entries) if step == 1 else 15 - 2 * len(entries))
    rows = [top + step * place for place in range(len(entries))]
    for row, (name, value) in zip(rows, entries, strict=True):
        canvas.word(row, left, name)
        canvas.text(row, price_at, value)

    def sign(rng: Random) -> list[Ask]:
        place = rng.randrange(signs)
        question = f"what is written on the {colors[place]} sign?"
        kind = "Scene Text-centric VQA"
        return say("sign", question, texts[place], question_type=kind, dataset="TextVQA")

    def price(rng: Random) -> list[Ask]:
        place = rng.randrange(lines)
        return _document("document", items[place], prices[place])

    def key(rng: Random) -> list[Ask]:
        name, value = rng.choice((("total", total), (field.name, date)))
        question = f"what is the {name}?{OCR_KEY_SUFFIX}"
        return say("key", question, value, question_type="Key Information Extraction", dataset="SROIE")

    askers: list[tuple[float, Asker]] = [(3, sign), (3, price), (2, key)]
    return Scene(canvas=canvas, askers=askers)
