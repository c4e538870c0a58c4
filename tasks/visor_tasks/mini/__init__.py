"""The mini suite: synthetic twins of twelve benchmarks, frozen for evaluation and streamed for training."""

from visor_tasks.mini.question import Item, Question
from visor_tasks.mini.stream import GENERATOR_VERSION, stream_item
from visor_tasks.mini.wording import EASY, HARD, PHRASES, TASKS, WORDS

__all__ = ["EASY", "GENERATOR_VERSION", "HARD", "PHRASES", "TASKS", "WORDS", "Item", "Question", "stream_item"]
