"""Turning a scene's askers into distinct questions."""

from collections.abc import Sequence
from random import Random

from visor_tasks.mini.question import Ask, Question, Scene
from visor_tasks.mini.wording import prompt_of, question_of


def say(template: str, question: str, *answers: str, **extra: object) -> list[Ask]:
    """An open question."""
    return [Ask(template=template, question=question, answers=answers, extra=extra)]


def choose(
    rng: Random, template: str, question: str, right: str, wrong: Sequence[str], *, keep: int = 3, **extra: object
) -> list[Ask]:
    """A multiple-choice question: ``right`` among up to ``keep`` of the wrong ones, at a uniform place."""
    others = [option for option in dict.fromkeys(wrong) if option != right]
    options = rng.sample(others, min(keep, len(others)))
    place = rng.randrange(len(options) + 1)
    options.insert(place, right)
    return [
        Ask(template=template, question=question, answers=("ABCD"[place],), options=tuple(options), extra=extra)
    ]  # fmt: skip


def verdicts(rng: Random, template: str, yes: str, no: str, *, capital: bool = False, **extra: object) -> list[Ask]:
    """A question answered yes and one answered no, in random order.

    Asking both keeps the answers balanced however many questions a scene is asked.
    """
    words = ("Yes", "No") if capital else ("yes", "no")
    pair = [
        Ask(template=template, question=question, answers=(word,), extra=extra)
        for question, word in zip((yes, no), words, strict=True)
    ]
    rng.shuffle(pair)
    return pair


def article(word: str) -> str:
    """``a`` or ``an``."""
    return "an" if word[0] in "aeiou" else "a"


def finish(task: str, ask: Ask) -> Question:
    """Give a question its task's prompt form."""
    meta = {"question": question_of(task, ask), "options": ask.options, **ask.extra}
    return Question(
        task=task, template=ask.template, prompt=prompt_of(task, ask), answers=ask.answers, meta=meta
    )  # fmt: skip


def draw_questions(rng: Random, task: str, scene: Scene, count: int) -> tuple[Question, ...]:
    """Up to ``count`` questions with different prompts, templates drawn by their weights.

    A scene that supports fewer distinct questions gives fewer. A yes/no pair is cut only at the very end.
    """
    weights = [weight for weight, _ in scene.askers]
    askers = [asker for _, asker in scene.askers]
    found: dict[str, Question] = {}
    for _ in range(4 * count + 4):
        if len(found) >= count:
            break
        group = [finish(task, ask) for ask in rng.choices(askers, weights)[0](rng)]
        if not any(question.prompt in found for question in group):
            found.update({question.prompt: question for question in group})
    return tuple(found.values())[:count]
