"""Easier forms of choice questions: what they say, how often they are drawn, and that they leave the rest alone."""

from collections import Counter
from random import Random

import pytest

from visor_eval.training.aids import Aids, is_aid, named, opened
from visor_eval.training.loop import _smooth
from visor_eval.training.stream import QuestionTokens, Stream
from visor_tasks.mini import stream_item

CHOICES = ("ai2d", "scienceqa_img", "mmstar", "realworldqa")


def choices(task, images=20):
    questions = [each for index in range(images) for each in stream_item("train", task, 0, index).questions]
    return [question for question in questions if question.meta["options"]]


@pytest.mark.parametrize("task", CHOICES)
def test_a_named_row_says_the_answer_and_asks_for_its_letter(task):
    for question in choices(task):
        right = question.meta["options"]["ABCD".index(question.answers[0])]
        easier = named(question)
        assert easier.prompt.startswith(f"{right}?\n")
        assert easier.prompt.endswith(question.prompt.split("?\n", 1)[1])  # the options and the benchmark's post-prompt
        assert easier.answers == question.answers
        assert is_aid(easier)
        assert not is_aid(question)


@pytest.mark.parametrize("task", CHOICES)
def test_an_open_row_asks_for_the_word(task):
    for question in choices(task):
        easier = opened(question)
        assert easier.answers == (question.meta["options"]["ABCD".index(question.answers[0])],)
        assert easier.prompt.split("?\n")[0] == question.prompt.split("?\n")[0]
        assert "A." not in easier.prompt
        assert "A:" not in easier.prompt


def test_shares_and_exceptions():
    aids, draw = Aids(named=0.3, opened=0.4), Random(0)
    pool = [question for question in choices("mmstar", 60) if question.template != "missing"]
    kept = sum(aids.apply(question, draw) is question for question in pool)
    assert abs(kept / len(pool) - 0.3) < 0.1
    missing = [question for question in choices("mmstar", 60) if question.template == "missing"]
    assert not any("open" in aids.apply(question, draw).template for question in missing)
    open_questions = stream_item("train", "gqa", 0, 0).questions
    assert all(aids.apply(question, draw) is question for question in open_questions)
    assert all(Aids().apply(question, draw) is question for question in pool)


def test_batches_hold_aids_in_their_shares_and_the_score_ignores_them(tokenizer):
    stream = Stream(QuestionTokens(tokenizer), ("ai2d",), "train", 0, images=8, questions=6)
    found = [q for step in range(12) for q in stream.batch(step, aids=Aids(named=0.3, opened=0.5)).questions if q]
    kinds = Counter("named" if "named" in q.template else "open" if is_aid(q) else "plain" for q in found)
    for kind, share in (("named", 0.3), ("open", 0.5), ("plain", 0.2)):
        assert abs(kinds[kind] / len(found) - share) < 0.08
    accuracy = {"ai2d": 0.0}
    _smooth(accuracy, [q for q in found if is_aid(q)], [True for q in found if is_aid(q)])
    assert accuracy == {"ai2d": 0.0}
    _smooth(accuracy, [q for q in found if not is_aid(q)], [True for q in found if not is_aid(q)])
    assert accuracy["ai2d"] > 0
