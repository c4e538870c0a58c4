"""Easier forms of multiple-choice questions, mixed into training so that choosing is learnt in two parts.

A choice needs the answer to be looked up in the image and then found among the options. Asked together
only, models this small stayed at chance (docs/log.md). An *open* row asks for the answer
as a word; a *named* row says the answer in place of the question and asks only for its letter.
"""

from dataclasses import dataclass, replace
from random import Random

from visor_tasks.mini import Question
from visor_tasks.mini.wording import PHRASE_POST

AID = "aid_"  # how the templates of such rows begin
UNOPENED = ("missing",)  # more than one word would be right


@dataclass(frozen=True, kw_only=True)
class Aids:
    """Shares of the choice questions that are asked in an easier form."""

    named: float = 0.0
    opened: float = 0.0

    def apply(self, question: Question, draw: Random) -> Question:
        """``question`` itself or an easier form of it; only choice questions change."""
        options = question.meta["options"]
        if not options:
            return question
        kind = draw.random()
        if kind < self.named:
            return named(question)
        if kind < self.named + self.opened and question.template not in UNOPENED:
            return opened(question)
        return question


def is_aid(question: Question) -> bool:
    """Whether a question is not one of the suite's own."""
    return question.template.startswith(AID)


def named(question: Question) -> Question:
    """The right option in place of the question: only its letter remains to be found."""
    rest = question.prompt[question.prompt.index("?") :]
    return replace(question, template=f"{AID}named_{question.template}", prompt=_right(question) + rest)


def opened(question: Question) -> Question:
    """The question without options, to be answered with a word."""
    stem = question.prompt[: question.prompt.index("?") + 1]
    return replace(
        question, template=f"{AID}open_{question.template}", prompt=stem + PHRASE_POST, answers=(_right(question),)
    )


def _right(question: Question) -> str:
    return question.meta["options"]["ABCD".index(question.answers[0])]
