"""The task definitions: names, generated YAML, and what perfect and wrong answers score through lmms-eval."""

from pathlib import Path

import pytest

from tests.harness.answering import lmms_results, perfect_answers, wrong_answers
from tests.harness.conftest import data, fake_methods  # noqa: F401 - fixtures
from tests.harness.fake_methods.fake_methods import FakeEngine
from tests.harness.real_schemas import ROWS, rows
from visor_tasks.lmms_yaml import definition, lmms_tasks_folder, write_suites
from visor_tasks.scores import METRIC, mme_mean
from visor_tasks.suites import TASKS, Suite, TaskSpec, group_name, group_of, members, resolve

NAMES = [task.name for task in TASKS]


def test_groups_are_those_of_the_paper():
    assert len(members("easy")) == 8
    assert [task.name for task in members("hard")] == ["chartqa", "ocrbench", "infovqa_val", "docvqa_val"]


def test_tasks_and_twins_know_their_group():
    assert [group_of(name) for name in ("pope", "pope_mini", "chartqa_mini", "mmmu_val")] == [
        "easy",
        "easy",
        "hard",
        None,
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["easy", "hard"], NAMES),
        (["hard", "easy", "mme"], NAMES),
        (["visor_mini_hard"], NAMES[8:]),
        (["pope_mini", "gqa"], ["gqa", "pope"]),
        (["all"], NAMES),
    ],
)
def test_names_resolve_once_each_and_in_table_order(names, expected):
    assert [task.name for task in resolve(names, Suite.MINI)] == expected


@pytest.mark.parametrize(
    ("name", "suite", "message"),
    [
        ("popee", Suite.MINI, "did you mean 'pope'"),
        ("esay", Suite.PAPER, "did you mean 'easy'"),
        ("zzzzz", Suite.MINI, "known: easy, hard, realworldqa"),
        ("pope_mini", Suite.PAPER, "add --suite mini"),
        ("visor_easy", Suite.MINI, "add --suite paper"),
    ],
)
def test_unknown_names_say_what_to_do(name, suite, message):
    with pytest.raises(LookupError, match=message):
        resolve([name], suite)


@pytest.fixture(scope="module")
def lmms():
    """lmms-eval's YAML loader, with its metrics registered (slow to import)."""
    from lmms_eval import utils

    import visor_eval.harness.lmms_tasks  # noqa: F401

    return utils


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
@pytest.mark.parametrize("suite", list(Suite))
def test_a_definition_changes_only_data_and_adds_one_metric(lmms, tmp_path, task: TaskSpec, suite: Suite):
    from visor_tasks.lmms_yaml import write_task

    stock = lmms.load_yaml_config(str(lmms_tasks_folder() / task.source), mode="full")
    ours = lmms.load_yaml_config(str(write_task(task, suite, tmp_path)), mode="full")
    changed = {"task", "dataset_path", "dataset_name", "dataset_kwargs", "process_docs"}
    changed |= {"process_results", "metric_list", "filter_list"}
    kept = set(stock) - changed
    assert {"doc_to_text", "doc_to_visual"} <= kept
    assert {key: _name(ours[key]) for key in kept} == {key: _name(stock[key]) for key in kept}
    assert set(ours) <= set(stock) | changed
    assert [_name(metric) for metric in ours["metric_list"][:-1]] == [_name(metric) for metric in stock["metric_list"]]
    assert ours["metric_list"][-1]["metric"] == METRIC


def _name(value: object) -> object:
    """Functions by name: every load of a YAML makes its own."""
    if callable(value):
        return value.__name__
    if isinstance(value, dict):
        return {key: _name(item) for key, item in value.items()}
    return value


@pytest.fixture(scope="module")
def perfect(data: Path, tmp_path_factory) -> dict[str, dict[str, float]]:  # noqa: F811
    """What the right answers score."""
    return lmms_results(data, tmp_path_factory.mktemp("perfect"), perfect_answers())


@pytest.fixture(scope="module")
def wrong(data: Path, tmp_path_factory) -> dict[str, dict[str, float]]:  # noqa: F811
    """What wrong answers score."""
    return lmms_results(data, tmp_path_factory.mktemp("wrong"), wrong_answers())


HIGHEST = {  # lmms-eval's own scale, for the six rows of `real_schemas`
    "mme": 400.0,  # two perception categories of 200
    "ocrbench": ROWS / 1000,  # lmms-eval divides by the full set's 1000
}


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_perfect_answers_score_the_maximum(perfect, task: TaskSpec):
    assert perfect[task.name][METRIC] == pytest.approx(100.0)
    assert perfect[task.name][task.metric] == pytest.approx(HIGHEST.get(task.name, 1.0))


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_wrong_answers_score_zero(wrong, task: TaskSpec):
    assert wrong[task.name][METRIC] == 0.0
    assert wrong[task.name][task.metric] == 0.0


def test_mme_cognition_stays_out_of_the_score(data, tmp_path):  # noqa: F811
    made, texts, _ = rows("mme")
    only_cognition_wrong = [
        "zebra" if row["category"] == "commonsense_reasoning" else text for row, text in zip(made, texts, strict=True)
    ]
    found = lmms_results(data, tmp_path, {"mme": only_cognition_wrong})["mme"]
    assert found[METRIC] == pytest.approx(100.0)
    assert found["mme_cognition_score"] == 0.0


def test_all_ten_mme_categories_make_the_perception_score_over_twenty(lmms):
    categories = ["existence", "count", "position", "color", "posters"]
    categories += ["celebrity", "scene", "landmark", "artwork", "OCR"]
    half = [
        {"question_id": i, "category": category, "score": float(i == 0)}
        for category in categories
        for i in (0, 0, 1, 1)
    ]
    from lmms_eval.tasks.mme.utils import mme_aggregate_results

    assert mme_mean(half) == pytest.approx(mme_aggregate_results(half) / 20)
    assert mme_mean(half) == pytest.approx(50.0)


def test_half_right_answers_keep_lmms_evals_own_metrics(data, tmp_path):  # noqa: F811
    """The wrapped tasks report what the untouched tasks report, to the last digit."""
    texts = {task: _half(answers) for task, answers in perfect_answers().items()}
    ours = lmms_results(data, tmp_path / "ours", texts)
    for name, stock in _stock_results(data, tmp_path / "stock", texts).items():
        shared = {key: value for key, value in stock.items() if isinstance(value, float) and "stderr" not in key}
        assert shared
        assert {key: ours[name][key] for key in shared} == shared, name


def _half(answers: list[str]) -> list[str]:
    return [text if i % 2 else wrong_answers_of(text) for i, text in enumerate(answers)]


def wrong_answers_of(text: str) -> str:
    """A near miss, so that ANLS gives parts of a point."""
    return f"{text}x" if len(text) > 3 else "zebra"


def _stock_results(folder: Path, scratch: Path, texts: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Score with lmms-eval's YAML as it is, the data replaced."""
    from lmms_eval.utils import load_yaml_config

    from tests.harness.answering import answer_table
    from visor_eval.harness.evaluation import evaluate
    from visor_eval.harness.generation import Generator
    from visor_eval.harness.lmms_models import ChatModel
    from visor_eval.harness.lmms_tasks import LoadedTask, SuiteTask

    tasks = []
    for spec in TASKS:
        config = load_yaml_config(str(lmms_tasks_folder() / spec.source), mode="full")
        local = {"dataset_path", "dataset_name", "dataset_kwargs", "process_docs"}
        config |= {key: value for key, value in definition(spec, Suite.MINI, folder).items() if key in local}
        task = SuiteTask(config=config)
        tasks.append(LoadedTask(spec=spec, name=spec.name, task=task, rows=tuple(range(ROWS)), available=ROWS))
    engine = FakeEngine(answer_table(folder, scratch, texts))
    found = evaluate(ChatModel(Generator(engine=engine)), tasks, scratch=scratch, seed=1)["results"]
    plain = {name: {_plain(key): value for key, value in found[name].items()} for name in texts}
    return plain


def _plain(key: str) -> str:
    return key.removesuffix(",none").removesuffix(",flexible-extract")


def test_ocrbench_does_not_accumulate(data, tmp_path):  # noqa: F811
    texts = {"ocrbench": perfect_answers()["ocrbench"]}
    first = lmms_results(data, tmp_path / "a", texts)["ocrbench"]["ocrbench_accuracy"]
    second = lmms_results(data, tmp_path / "b", texts)["ocrbench"]["ocrbench_accuracy"]
    assert first == second == ROWS / 1000


def test_tasks_leave_no_files_in_the_working_directory(data, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    answers = perfect_answers()
    lmms_results(data, tmp_path / "scratch", {task: answers[task] for task in ("ocrbench", "textvqa_val")})
    assert list(Path.cwd().iterdir()) == []


def test_group_files_load_in_lmms_eval(lmms, tmp_path):
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(write_suites(tmp_path)), include_defaults=False)
    assert set(manager.all_groups) == {group_name(group, suite) for group in ("easy", "hard") for suite in Suite}
    assert set(manager.all_subtasks) == {task.name_in(Suite.MINI) for task in TASKS}
