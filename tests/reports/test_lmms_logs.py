"""Plain lmms-eval logs become rows beside our own runs, and only where they answered the same questions."""

import json

import pytest

from tests.reports.studies import metrics_of, write_run
from visor_reports.lmms_logs import LogError, find_logs, read_logs
from visor_reports.reading import read_study


def logged(task, number, right, **changes):
    """A line as lmms-eval 0.7.3 writes it."""
    return {
        "doc_id": number,
        "target": "['yes', 'yeah']" if task.startswith("docvqa") else "yes",
        "filtered_resps": "yes" if right else "no",
        "token_counts": [{"input_tokens": 40, "output_tokens": 2}],
        "doc_hash": "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
        "input": f"<image>\n{task} question {number}?",
        **metrics_of(task.removesuffix("_mini"), number, float(right)),
        **changes,
    }


def write_log(folder, task="gqa_mini", count=40, date="20260101_120000", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}_samples_{task}.jsonl"
    path.write_text("".join(json.dumps(logged(task, n, n % 3 != 0, **changes)) + "\n" for n in range(count)))
    return path


def test_a_log_is_a_row_beside_runs_on_the_same_documents(tmp_path) -> None:
    write_run(tmp_path / "results", "visor", tasks=("gqa", "mme"))
    write_log(tmp_path / "logs" / "their__model")
    write_log(tmp_path / "logs" / "their__model", "mme_mini")
    (board,) = read_study(tmp_path / "results", logs=[tmp_path / "logs"]).boards
    theirs = board.method("their__model (imported log)")
    assert theirs.is_imported
    assert theirs.tasks["gqa_mini"].score.estimate == pytest.approx(100 * 26 / 40)
    assert theirs.tasks["gqa_mini"].saving == {}
    assert theirs.samples["gqa_mini"][0].prompt == "gqa_mini question 0?"
    assert theirs.samples["mme_mini"][0].stratum == "count"


def test_logs_in_the_results_folder_are_found(tmp_path) -> None:
    write_log(tmp_path / "their__model", "pope")
    (board,) = read_study(tmp_path).boards
    assert board.setting.suite == "paper"
    assert [method.name for method in board.methods] == ["their__model (imported log)"]


@pytest.mark.parametrize("change", [{"count": 30}, {"target": "maybe"}])
def test_other_documents_stand_apart(tmp_path, change) -> None:
    write_run(tmp_path / "results", "visor", tasks=("gqa",))
    write_log(tmp_path / "logs" / "m", **change)
    assert len(read_study(tmp_path / "results", logs=[tmp_path / "logs"]).boards) == 2


def test_several_references_and_the_model_from_the_results_file(tmp_path) -> None:
    write_log(tmp_path / "m", "docvqa_val")
    content = {
        "model_source": "llava_hf",
        "config": {"model_args": "pretrained=llava-hf/some-model,device_map=auto"},
        "lmms_eval_version": "0.7.3",
    }
    (tmp_path / "m" / "20260101_120000_results.json").write_text(json.dumps(content))
    (group,) = find_logs([tmp_path])
    run = read_logs(group, [])
    assert run.samples[0].references == ("yes", "yeah")
    assert run.samples[0].group == "hard"
    assert (run.run.model, run.run.checkpoint) == ("llava_hf", "llava-hf/some-model")
    assert run.run.started_utc == "2026-01-01T12:00:00"


def test_a_cost_that_was_logged_is_read(tmp_path) -> None:
    made = write_run(tmp_path / "own", "visor", tasks=("gqa",))
    cost = made.samples[0].cost.to_dict()
    write_log(tmp_path / "logs" / "visor", token_counts=[{"input_tokens": 1, "output_tokens": 2, "cost": cost}])
    (group,) = find_logs([tmp_path / "logs"])
    assert read_logs(group, []).samples[5].cost == made.samples[0].cost


def test_half_characters_do_not_break_the_report(tmp_path) -> None:
    write_log(tmp_path / "m", filtered_resps="half \ud800")
    (group,) = find_logs([tmp_path])
    assert read_logs(group, []).samples[0].answer == "half ?"


def test_two_evaluations_in_one_folder_are_two_runs(tmp_path) -> None:
    write_log(tmp_path / "m", date="20260101_120000")
    write_log(tmp_path / "m", date="20260102_120000")
    assert len(find_logs([tmp_path])) == 2


def test_damaged_logs_are_named(tmp_path) -> None:
    write_run(tmp_path / "results", "visor", tasks=("gqa",))
    appended = write_log(tmp_path / "logs" / "appended")
    appended.write_text(appended.read_text() * 2)
    torn = write_log(tmp_path / "logs" / "torn")
    torn.write_text(torn.read_text()[:-5])
    write_log(tmp_path / "logs" / "metricless", exact_match=None)
    write_log(tmp_path / "logs" / "mixed", "gqa")
    write_log(tmp_path / "logs" / "mixed", "pope_mini")
    study = read_study(tmp_path / "results", logs=[tmp_path / "logs"])
    reasons = {item.name.split("/")[0]: item.reason for item in study.skipped}
    assert set(reasons) == {"appended", "torn", "metricless", "mixed"}
    assert "a second time" in reasons["appended"]
    assert "cut off" in reasons["torn"]
    assert "line 1" in reasons["metricless"]
    assert [method.name for board in study.boards for method in board.methods] == ["visor"]


def test_a_file_of_another_name_is_refused(tmp_path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("")
    with pytest.raises(LogError, match="no lmms-eval log"):
        find_logs([path])
