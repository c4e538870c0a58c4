"""Frozen-style rows: the real datasets' columns, one question per image."""

import io

import numpy as np
from PIL import Image

from visor_tasks.mini.question import Question
from visor_tasks.mini.stream import stream_item

MME_QUESTIONS = 2  # a pair per image
_FORCED = {"pope": ("yes", "no")}  # answers taken in turn, so that the set is balanced to the row


def png_of(image: np.ndarray) -> bytes:
    """The image as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def rows(task: str, split: str, seed: int, count: int) -> list[dict]:
    """``count`` rows of a task in its dataset's schema, plus ``template`` and ``scene_hash``.

    Scenes are distinct. MME rows come in pairs with one question_id, a Yes and a No question about one image.

    Raises:
        ValueError: An odd number of MME rows.
    """
    per_image = MME_QUESTIONS if task == "mme" else 1
    if count % per_image:
        raise ValueError(f"{count} MME rows asked for; they come in pairs, so ask for an even number")
    found: list[dict] = []
    seen: set[str] = set()
    index = 0
    while len(found) < count:
        item = stream_item(split, task, seed, index, per_image)
        index += 1
        if item.scene_hash in seen or len(item.questions) < per_image:
            continue
        if task in _FORCED and item.questions[0].answers[0] != _FORCED[task][len(found) % 2]:
            continue
        seen.add(item.scene_hash)
        image = {"bytes": png_of(item.image), "path": None}
        for question in item.questions:
            number = len(found) // per_image
            found.append(
                {
                    **columns(question, f"{split}-{seed}-{number:04d}"),
                    "image": image,
                    "template": question.template,
                    "scene_hash": item.scene_hash,
                }
            )
    return found


def columns(question: Question, identity: str) -> dict:
    """The columns lmms-eval reads from a row of this task, without the image."""
    task, meta, answer = question.task, question.meta, question.answers[0]
    base = {"question": meta["question"]}
    if task in ("docvqa_val", "infovqa_val"):
        return {"questionId": identity, **base, "answers": list(question.answers)}
    if task == "chartqa":
        return {"type": meta["type"], **base, "answer": answer}
    if task == "ai2d":
        return {**base, "options": list(meta["options"]), "answer": str("ABCD".index(answer))}
    if task == "pope":
        category = question.template
        return {"question_id": identity, **base, "answer": answer, "image_source": identity, "category": category}
    if task == "mme":
        category = meta["category"]
        return {"question_id": f"{category}/{identity}.png", **base, "answer": answer, "category": category}
    if task == "textvqa_val":
        return {"image_id": identity, "question_id": identity, **base, "answers": [answer] * 10}
    if task == "ocrbench":
        return {
            "dataset": meta["dataset"],
            **base,
            "question_type": meta["question_type"],
            "answer": list(question.answers),
        }
    if task == "scienceqa_img":
        place = "ABCD".index(answer)
        return {**base, "choices": list(meta["options"]), "answer": place, "hint": meta.get("hint", "")}
    if task == "mmstar":
        categories = {"category": meta["category"], "l2_category": meta["l2_category"]}
        return {"index": int(identity.rsplit("-", 1)[1]), **base, "answer": answer, **categories}
    if task == "gqa":
        return {"id": identity, "imageId": identity, **base, "answer": answer}
    return {**base, "answer": answer}  # realworldqa


def blind_answers(task: str, count: int = 250, seed: int = 1) -> dict[str, str]:
    """The most frequent training answer per template: what someone says who never looks at the image."""
    tally: dict[str, dict[str, int]] = {}
    for index in range(count):
        for question in stream_item("train", task, seed, index).questions:
            answers = tally.setdefault(question.template, {})
            answers[question.answers[0]] = answers.get(question.answers[0], 0) + 1
    return {
        template: min(answers, key=lambda answer: (-answers[answer], answer))
        for template, answers in sorted(tally.items())
    }
