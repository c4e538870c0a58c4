"""The mini suite's stream: deterministic, disjoint, balanced, legible."""

from collections import Counter
from itertools import combinations
from random import Random

import numpy as np
import pytest

from visor_tasks.mini import EASY, HARD, TASKS, Item, lines, stream_item
from visor_tasks.mini.asking import say
from visor_tasks.mini.fields import Label
from visor_tasks.mini.glyphs import CELL, glyph_mask, halves, pair_mask
from visor_tasks.mini.palette import COLOR_NAMES, SHAPES, VEHICLES
from visor_tasks.mini.question import Ask
from visor_tasks.mini.splits import SPLITS, pair_home, value_home
from visor_tasks.mini.wording import FIELDS, GOODS, POINTERS, SIGNS, TOTAL

COUNT = 300
LEXICON = (*FIELDS, *GOODS, *SIGNS, *POINTERS, TOTAL)


@pytest.fixture(scope="module")
def items() -> dict[tuple[str, str], list[Item]]:
    """{(split, task): items}, one stream each with the same seed."""
    return {
        (split, task): [stream_item(split, task, 0, index) for index in range(COUNT)]
        for split in SPLITS
        for task in TASKS
    }


@pytest.mark.parametrize("task", TASKS)
def test_same_arguments_same_item(task: str) -> None:
    first, again = stream_item("train", task, 5, 17), stream_item("train", task, 5, 17)
    assert first.scene_hash == again.scene_hash
    assert first.questions == again.questions
    assert np.array_equal(first.image, again.image)
    assert stream_item("train", task, 6, 17).scene_hash != first.scene_hash
    assert stream_item("train", task, 5, 17, questions=1).scene_hash == first.scene_hash


def test_unknown_names_are_refused() -> None:
    with pytest.raises(LookupError, match="gqa"):
        stream_item("train", "gqq", 0, 0)
    with pytest.raises(LookupError, match="dev"):
        stream_item("val", "gqa", 0, 0)


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_scene_and_no_image(items: dict, task: str) -> None:
    for first, second in combinations(SPLITS, 2):
        a, b = items[first, task], items[second, task]
        assert not {item.scene_hash for item in a} & {item.scene_hash for item in b}
        assert not {item.image.tobytes() for item in a} & {item.image.tobytes() for item in b}


def shown_homes(item: Item, task: str) -> set[str]:
    """Splits that the combinations drawn in the cells are reserved for."""
    kinds = VEHICLES if task == "realworldqa" else SHAPES
    homes = set()
    for words in item.cells.values():
        if len(words) == 2 and words[0] in COLOR_NAMES and words[1] in kinds and "light" not in words:
            homes.add(pair_home(words[0], kinds.index(words[1])))
        if len(words) == 2 and words[0] in SIGNS and words[1] in COLOR_NAMES:
            homes.add(pair_home(words[1], SIGNS.index(words[0])))
    return homes - {None}


@pytest.mark.parametrize("task", ["realworldqa", "gqa", "mmstar", "pope", "ai2d", "scienceqa_img"])
def test_every_held_out_scene_shows_its_own_combination_and_training_none(items: dict, task: str) -> None:
    for split in SPLITS:
        expected = set() if split == "train" else {split}
        for item in items[split, task]:
            assert shown_homes(item, task) == expected


def value_answers(item: Item) -> set[str]:
    """Answers that are printed values (no vocabulary word, no option letter)."""
    return {
        question.answers[0]
        for question in item.questions
        if len(question.answers[0]) > 1 and not question.answers[0].islower()
    }


@pytest.mark.parametrize("task", ["chartqa", "infovqa_val", "docvqa_val", "textvqa_val"])
def test_value_patterns_are_held_out(items: dict, task: str) -> None:
    for split in SPLITS:
        homes = Counter(value_home(value) for item in items[split, task] for value in value_answers(item))
        assert set(homes) <= {None, split}
        assert (homes[split] > 0) == (split != "train")


@pytest.mark.parametrize("task", TASKS)
def test_every_factor_of_the_test_split_is_seen_in_training(items: dict, task: str) -> None:
    more = (stream_item("train", task, 1, index) for index in range(COUNT))  # words are rare in MME
    seen = {word for item in (*items["train", task], *more) for words in item.cells.values() for word in words}
    asked = {word for item in items["test", task] for words in item.cells.values() for word in words}
    assert asked <= seen


@pytest.mark.parametrize("task", TASKS)
def test_shape_of_an_item(items: dict, task: str) -> None:
    for item in items["train", task]:
        height, width = item.image.shape[:2]
        assert item.image.dtype == np.uint8
        assert height % 56 == width % 56 == 0
        assert (height, width) == (56, 56) if task in EASY else (height, width) != (56, 56)
        assert item.questions
        assert all(0 <= row < height // CELL and 0 <= column < width // CELL for row, column in item.cells)
        prompts = [question.prompt for question in item.questions]
        assert len(set(prompts)) == len(prompts)
        assert all(question.answers[0] and question.task == task for question in item.questions)


def test_yes_and_no_are_equally_likely(items: dict) -> None:
    for task in ("gqa", "pope", "mme"):
        said = Counter(question.answers[0].lower() for item in items["test", task] for question in item.questions)
        assert 0.45 < said["yes"] / (said["yes"] + said["no"]) < 0.55


@pytest.mark.parametrize("task", ["ai2d", "mmstar", "scienceqa_img"])
def test_every_option_place_is_equally_likely(items: dict, task: str) -> None:
    asked = [question for item in items["test", task] for question in item.questions]
    for size in {len(question.meta["options"]) for question in asked}:
        said = Counter(question.answers[0] for question in asked if len(question.meta["options"]) == size)
        total = sum(said.values())
        if total > 200:
            assert max(said.values()) < 1.3 * total / size


def test_options_differ_and_hold_the_answer(items: dict) -> None:
    for task in ("ai2d", "mmstar", "scienceqa_img", "realworldqa"):
        for item in items["test", task]:
            for question in item.questions:
                options = question.meta["options"]
                assert len(set(options)) == len(options)
                assert not options or "ABCD".index(question.answers[0]) < len(options)


def test_the_same_prompt_about_one_scene_always_has_the_same_answer() -> None:
    for task in TASKS:
        for index in range(40):
            answers: dict[str, set[str]] = {}
            for count in (1, 3, 6, 12):
                for question in stream_item("dev", task, 1, index, count).questions:
                    answers.setdefault(question.prompt, set()).add(question.answers[0])
            assert all(len(found) == 1 for found in answers.values())


@pytest.mark.parametrize("task", HARD)
def test_hard_tasks_have_many_answers_some_of_two_hops_and_many_along_lines(items: dict, task: str) -> None:
    asked = [question for item in items["test", task] for question in item.questions]
    assert len({question.answers[0] for question in asked}) >= 50
    if task != "ocrbench":
        share = sum(question.template.endswith("_2hop") for question in asked) / len(asked)
        assert 0.02 < share < 0.1
    along = [question for question in asked if question.template.startswith(lines.TEMPLATES)]
    assert 0.4 < len(along) / len(asked) < 0.7


def lines_of(cells: dict) -> dict[tuple[int, int], tuple[str, int]]:
    """Cell at the end of a line or bar -> label, number of arrows: by walking back from it."""
    found = {}
    for (row, column), words in cells.items():
        if "circle" not in words and not words[0].isdigit():
            continue
        at, arrows = (row, column - 1), 0
        while cells.get(at) in (("left",), ("up",)):
            at, arrows = ((at[0], at[1] - 1) if cells[at] == ("left",) else (at[0] - 1, at[1])), arrows + 1
        if not cells[at][0].isdigit():  # the second digit of a value stands behind the first
            found[row, column] = (cells[at][0], arrows)
    return found


def test_a_line_leads_back_from_every_value_to_its_label() -> None:
    for index in range(40):
        drawn = Random(index)
        named: dict[str, str] = {}

        def ask(template: str, label: Label, value: str, named: dict[str, str] = named) -> list[Ask]:
            named[value] = label.name
            return say(template, label.ask_value(), value)

        scene = lines.joined_labels(drawn, "train", GOODS, ask, None)
        for _ in range(200):
            scene.askers[0][1](drawn)
        cells = scene.canvas.cells
        assert len(named) == lines.LINES
        found = {
            cells[row, column][0] + cells[row, column + 1][0]: end for (row, column), end in lines_of(cells).items()
        }
        assert {value: label for value, (label, _) in found.items()} == named
        assert all(1 <= arrows <= lines.LONGEST for _, arrows in found.values())


def test_bent_bars_have_the_values_that_are_asked_for() -> None:
    told = Counter()
    for index in range(120):
        item = stream_item("train", "chartqa", 0, index)
        if not item.questions[0].template.startswith(lines.TEMPLATES):
            continue
        ends = {item.cells[cell][0]: (label, arrows + 1) for cell, (label, arrows) in lines_of(item.cells).items()}
        values = dict(ends.values())
        assert len(ends) == len(values) == lines.LINES
        for question in item.questions:
            words, answer = question.prompt.split("?")[0].split(), question.answers[0]
            if question.template == "longest":
                assert [label for label, value in values.items() if value == max(values.values())] == [answer]
            elif question.template == "label_of_bar_color":
                assert ends[words[-2]][0] == answer
            elif question.template == "length_of_color":
                assert ends[words[-2]][1] == int(answer)
            else:
                assert values[words[-1]] == int(answer)
            told[question.template] += 1
    assert len(told) == 4


def foreground(item: Item, row: int, column: int) -> np.ndarray:
    """The cell's ink without its last pixel row (rules run there): bool [7, 8]."""
    cell = item.image[row * CELL : row * CELL + 7, column * CELL : (column + 1) * CELL].astype(int)
    return np.abs(cell - cell[0, 0]).sum(-1) > 60  # no glyph touches its cell's top left pixel


def test_cells_show_what_they_say(items: dict) -> None:
    checked = Counter()
    for task in ("docvqa_val", "infovqa_val", "textvqa_val"):
        for item in items["train", task][:60]:
            for (row, column), words in item.cells.items():
                ink = foreground(item, row, column)
                if len(words[0]) == 1:
                    assert np.array_equal(ink[:, 1:], glyph_mask(words[0])[:7, 1:])
                    checked["glyph"] += 1
                elif words[0] in LEXICON:
                    masks = [pair_mask(pair)[:7] for pair in halves(words[0])]
                    cell = item.image[row * CELL : row * CELL + 7, column * CELL : (column + 1) * CELL].astype(int)
                    ground = cell[0, 0]  # the small font leaves the first row free
                    assert any(np.array_equal(np.abs(cell - ground).sum(-1) > 60, mask) for mask in masks)
                    checked["word"] += 1
    assert min(checked["glyph"], checked["word"]) > 500


def test_one_cell_tells_the_word_and_the_glyph() -> None:
    pairs = [pair for word in LEXICON for pair in halves(word)]
    assert len(set(pairs)) == len(pairs)
    masks = [pair_mask(pair).tobytes() for pair in pairs]
    assert len(set(masks)) == len(masks)
    glyphs = [glyph_mask(char) for char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+-="]
    assert min(int((a != b).sum()) for a, b in combinations(glyphs, 2)) >= 2
