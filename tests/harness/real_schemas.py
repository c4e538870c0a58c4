"""Small parquet files with the columns of the twelve real data sets, and the perfect answer to each row."""

from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Sequence, Value
from PIL import Image as Pictures

TEXT = Value("string")
ROWS = 6
OCR_TYPES = ("Regular Text Recognition", "Scene Text-centric VQA", "Doc-oriented VQA")
L2 = ("object counting", "recognition", "geometry")
MME_CATEGORIES = ("existence", "color", "commonsense_reasoning")


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Pictures.Image:
    """Noise that belongs to ``seed``."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Pictures.fromarray(noise)


def turned(path: Path) -> None:
    """Write a JPEG stored as 30 x 10 pixels and shown as 10 x 30 (EXIF orientation 6)."""
    exif = Pictures.Exif()
    exif[0x0112] = 6
    picture(1, (30, 10)).save(path, "JPEG", exif=exif)


def rows(task: str) -> tuple[list[dict], list[str], Features]:
    """Rows, perfect answers and features of one task."""
    made = [MAKERS[task](i) for i in range(ROWS)]
    offset = 100 * sorted(MAKERS).index(task)
    for i, (row, _) in enumerate(made):
        pair = i // 2 if task == "mme" else i
        row["image"] = picture(offset + pair, (24 + 8 * (pair % 3), 16))
    return [row for row, _ in made], [answer for _, answer in made], Features({**FEATURES[task], "image": Image()})


def write(folder: Path, tasks: tuple[str, ...] | None = None) -> Path:
    """Write `<task>.parquet` files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks or tuple(MAKERS):
        made, _, features = rows(task)
        Dataset.from_list(made, features=features).to_parquet(folder / f"{task}.parquet")
    return folder


def _letter(i: int) -> str:
    return "ABCD"[i % 4]


def _yes(i: int) -> str:
    return ("Yes", "No")[i % 2]


MAKERS = {
    "realworldqa": lambda i: (
        {"question": f"Which one, {i}?\nA. x\nB. y\nC. z\nD. w", "answer": _letter(i)},
        _letter(i),
    ),
    "scienceqa_img": lambda i: (
        {"question": f"Science {i}?", "choices": ["u", "v", "w"], "answer": i % 3, "hint": "A hint." if i % 2 else ""},
        _letter(i % 3),
    ),
    "gqa": lambda i: ({"question": f"What colour, {i}?", "answer": f"colour{i}"}, f"Colour{i}."),
    "mme": lambda i: (
        {
            "question_id": f"q{i // 2}",
            "question": f"Is it, {i}? Please answer yes or no.",
            "answer": _yes(i),
            "category": MME_CATEGORIES[(i // 2) % 3],
        },
        _yes(i),
    ),
    "mmstar": lambda i: (
        {
            "index": i,
            "question": f"Star {i}?\nOptions: A: 1, B: 2, C: 3, D: 4",
            "answer": _letter(i),
            "category": "math",
            "l2_category": L2[i % 3],
        },
        _letter(i),
    ),
    "pope": lambda i: ({"question_id": str(i), "question": f"Is there a {i}?", "answer": _yes(i).lower()}, _yes(i)),
    "textvqa_val": lambda i: (
        {"question_id": i, "question": f"what text {i}?", "answers": [f"word{i}"] * 10},
        f"word{i}",
    ),
    "ai2d": lambda i: (
        {"question": f"Diagram {i}?", "options": ["a", "b", "c", "d"], "answer": str(i % 4)},
        _letter(i),
    ),
    "chartqa": lambda i: (
        {"type": "human_test" if i % 2 else "augmented_test", "question": f"Bar {i}?", "answer": str(10 * i + 10)},
        str(10 * i + 10),
    ),
    "ocrbench": lambda i: (
        {"dataset": "IIIT5K", "question": f"Read {i}.", "question_type": OCR_TYPES[i % 3], "answer": [f"text{i}"]},
        f"text{i}",
    ),
    "infovqa_val": lambda i: ({"question": f"Info {i}?", "answers": [f"fact number {i}"]}, f"fact number {i}"),
    "docvqa_val": lambda i: ({"question": f"Doc {i}?", "answers": [f"value {i}", f"val. {i}"]}, f"value {i}"),
}
STRINGS = Sequence(TEXT)
FEATURES = {
    "realworldqa": {"question": TEXT, "answer": TEXT},
    "scienceqa_img": {"question": TEXT, "choices": STRINGS, "answer": Value("int8"), "hint": TEXT},
    "gqa": {"question": TEXT, "answer": TEXT},
    "mme": {"question_id": TEXT, "question": TEXT, "answer": TEXT, "category": TEXT},
    "mmstar": {"index": Value("int64"), "question": TEXT, "answer": TEXT, "category": TEXT, "l2_category": TEXT},
    "pope": {"question_id": TEXT, "question": TEXT, "answer": TEXT},
    "textvqa_val": {"question_id": Value("int32"), "question": TEXT, "answers": STRINGS},
    "ai2d": {"question": TEXT, "options": STRINGS, "answer": TEXT},
    "chartqa": {"type": TEXT, "question": TEXT, "answer": TEXT},
    "ocrbench": {"dataset": TEXT, "question": TEXT, "question_type": TEXT, "answer": STRINGS},
    "infovqa_val": {"question": TEXT, "answers": STRINGS},
    "docvqa_val": {"question": TEXT, "answers": STRINGS},
}
