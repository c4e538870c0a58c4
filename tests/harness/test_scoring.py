"""Several answers to one document are scored as an evaluation scores them one by one."""

from tests.harness.answering import answer_table, perfect_answers, wrong_answers
from tests.harness.fake_methods.fake_methods import FakeEngine
from visor_eval.analysis.scores import sample_score
from visor_tasks.suites import TASKS, Suite


def test_scores_and_references_of_all_twelve_tasks(data, tmp_path):
    """Right and wrong answers in turn through lmms-eval's evaluator, against both at once through `score_answers`."""
    from visor_eval.harness.evaluation import evaluate
    from visor_eval.harness.generation import Generator
    from visor_eval.harness.lmms_models import ChatModel
    from visor_eval.harness.lmms_tasks import load_tasks
    from visor_eval.harness.recording import accepted_answers
    from visor_eval.harness.scoring import references, score_answers

    right, wrong = perfect_answers(), wrong_answers()
    texts = {name: [(right, wrong)[i % 2][name][i] for i in range(len(right[name]))] for name in right}
    table = answer_table(data, tmp_path, texts)
    tasks = load_tasks(TASKS, Suite.MINI, tmp_path, data=data)
    found = evaluate(ChatModel(Generator(engine=FakeEngine(table))), tasks, scratch=tmp_path, seed=1)
    seen = set()
    for task in tasks:
        for sample in found["samples"][task.name]:
            place = int(sample["doc_id"])
            answers = [right[task.spec.name][place], wrong[task.spec.name][place]]
            scores = score_answers(task, place, [*answers, answers[0]])
            assert scores[0] == scores[2]
            assert scores[place % 2] == sample_score(task.name, sample, place)
            assert scores[0].score > scores[1].score
            seen.add((scores[0].unit, scores[0].stratum))
            stripped = {text.strip() for text in accepted_answers(task.texts[place], sample["target"])}
            assert set(references(task, place)) == stripped
    assert len(seen) > 12
