"""The embedded tokenizer restores every text and keeps phrases and words whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.training.tokenizer import TURN_ASSISTANT, TURN_USER, build_tokenizer
from visor_tasks.mini import PHRASES, TASKS, WORDS, stream_item

SHARED = build_tokenizer(PHRASES, WORDS)


def encode(text):
    return SHARED.encode(text, add_special_tokens=False)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives(text):
    assert SHARED.decode(encode(text)) == text


@pytest.mark.parametrize("text", ["héé 漢字 🙂", "a  b\n\n\tc", "redcircle Red RED", "What is the\u00a0x?"])
def test_odd_texts_survive(text):
    assert SHARED.decode(encode(text)) == text


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_one_token(phrase):
    assert len(encode(phrase)) == 1


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_one_token_with_and_without_space(word):
    assert len(encode(word)) == 1
    assert len(encode(f" {word}")) == 1


def test_random_strings_are_single_characters():
    assert [SHARED.decode([token]) for token in encode("B7K42EXIT9")] == list("B7K42EXIT9")


def test_a_phrase_does_not_cut_a_word():
    assert len(encode("Is the")) == 1
    assert SHARED.convert_tokens_to_ids("Is the") not in encode("Is theatre")


def test_the_turns_cost_two_tokens(processor):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What shape is the"}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text == f"{TURN_USER}<image>What shape is the{TURN_ASSISTANT}"
    assert len(encode(text)) == 4


@pytest.mark.parametrize("task", TASKS)
def test_prompts_of_every_task_stay_short(task):
    items = [stream_item("train", task, 0, index) for index in range(20)]
    assert max(len(encode(question.prompt)) for item in items for question in item.questions) <= 24
