"""Run chosen answers through lmms-eval, as the harness does."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.fake_methods.fake_methods import FakeEngine, fingerprint
from tests.harness.real_schemas import MAKERS, rows
from visor_tasks.suites import TASKS, Suite


def answer_table(data: Path, scratch: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Answers keyed as the fake engine looks them up, for tasks of the mini suite over ``data``."""
    from visor_eval.harness.lmms_tasks import load_tasks

    specs = [spec for spec in TASKS if spec.name in texts]
    table = {}
    for task in load_tasks(specs, Suite.MINI, scratch, data=data):
        for document, text in zip(task.documents, texts[task.spec.name], strict=True):
            table[fingerprint([document["image"].convert("RGB")], task.task.doc_to_text(document))] = text
    return table


def lmms_results(data: Path, scratch: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """lmms-eval's result table (metric -> value) per benchmark when these answers are given."""
    from visor_eval.harness.evaluation import evaluate
    from visor_eval.harness.generation import Generator
    from visor_eval.harness.lmms_models import ChatModel
    from visor_eval.harness.lmms_tasks import load_tasks

    specs = [spec for spec in TASKS if spec.name in texts]
    engine = FakeEngine(answer_table(data, scratch, texts))
    tasks = load_tasks(specs, Suite.MINI, scratch, data=data)
    found = evaluate(ChatModel(Generator(engine=engine)), tasks, scratch=scratch, seed=1)
    return {
        task.spec.name: {key.removesuffix(",none"): value for key, value in found["results"][task.name].items()}
        for task in tasks
    }


def perfect_answers() -> dict[str, list[str]]:
    """The right answer to every row of every task."""
    return {task: rows(task)[1] for task in MAKERS}


def wrong_answers() -> dict[str, list[str]]:
    """A wrong answer to every row, of the right kind where the task only takes that."""
    swap = {"Yes": "No", "No": "Yes", "A": "B", "B": "C", "C": "D", "D": "A"}
    return {task: [swap.get(text, "zebra zebra zebra") for text in texts] for task, texts in perfect_answers().items()}
