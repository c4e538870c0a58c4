"""What the sample browser shows: questions with their images, and what every method answered at what cost."""

from collections.abc import Iterable, Sequence

from visor_eval.analysis.oracle import RIGHT
from visor_eval.records import SampleRecord
from visor_reports.names import benchmark_label, configuration_label
from visor_reports.page.images import ImageSource, find_images
from visor_reports.page.tables import dot_colour
from visor_reports.study import Board

LONGEST_ANSWER = 600  # characters; longer ones are cut, and say so


def browser_data(boards: Sequence[Board], *, samples_per_task: int | None, sources: Iterable[ImageSource]) -> dict:
    """The JSON island of the page.

    Args:
        boards: whose samples are shown.
        samples_per_task: at most so many questions per task, evenly spaced over the task; None: all.
        sources: where images come from; each image is stored once.
    """
    chosen = [{task: _documents(board, task, samples_per_task) for task in board.tasks} for board in boards]
    wanted = dict.fromkeys(
        name
        for tasks in chosen
        for documents in tasks.values()
        for found in documents
        for _, one in found
        for name in one.image_hashes
    )
    uris = find_images(wanted, sources)
    places = {name: place for place, name in enumerate(name for name in wanted if name in uris)}
    return {
        "right": RIGHT,
        "images": [uris[name] for name in places],
        "boards": [_board(board, tasks, places) for board, tasks in zip(boards, chosen, strict=True)],
    }


_Answers = list[tuple[int, SampleRecord]]  # (index of the method, its sample) of one document


def _documents(board: Board, task: str, limit: int | None) -> list[_Answers]:
    """The documents of a task, as many as wanted, each with every method's sample."""
    found: dict[str, _Answers] = {}
    for index, method in enumerate(board.methods):
        for one in method.samples.get(task, ()):
            found.setdefault(one.doc_id, []).append((index, one))
    documents = list(found.values())
    if limit is None or len(documents) <= limit:
        return documents
    return [documents[step * len(documents) // limit] for step in range(limit)]


def _board(board: Board, tasks: dict[str, list[_Answers]], places: dict[str, int]) -> dict:
    return {
        "title": board.title,
        "methods": [{"name": method.name, "colour": dot_colour(method.name)} for method in board.methods],
        "tasks": [{"name": benchmark_label(task), "group": _group(board, task)} for task in tasks],
        "samples": [
            _question(number, answers, places)
            for number, documents in enumerate(tasks.values())
            for answers in documents
        ],
    }


def _question(task: int, answers: _Answers, places: dict[str, int]) -> dict:
    first = answers[0][1]
    return {
        "task": task,
        "id": first.doc_id,
        "question": _cut(first.prompt),
        "references": [_cut(reference) for reference in first.references[:6]],
        "more": max(0, len(first.references) - 6),
        "template": first.template or "",
        "images": [places.get(name, -1) for name in first.image_hashes],
        "answers": [_answer(index, one) for index, one in answers],
    }


def _answer(method: int, one: SampleRecord) -> dict:
    found: dict[str, object] = {"method": method, "text": _cut(one.answer), "score": round(one.score, 4)}
    if one.cost is not None:
        cost, dense = one.cost.total(), one.cost.dense_total()
        found["configuration"] = configuration_label(one.cost.configuration)
        found["gflops"] = float(f"{cost / 1e9:.3g}")
        found["saving"] = round(dense / cost, 2) if cost else None
    return found


def _group(board: Board, task: str) -> str:
    return next((group for group, members in board.groups.items() if task in members), "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]} ... [{len(text)} characters]"
