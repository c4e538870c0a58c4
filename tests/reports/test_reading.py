"""What a results folder becomes: runs that may be compared share a board, and nothing damaged gets into one."""

import json
from dataclasses import replace

import pytest

from tests.reports.studies import HARD, TASKS, write_run
from visor_eval.records import StoreError
from visor_reports.reading import Facts, read_study


def names(study):
    return {board.slug: [method.name for method in board.methods] for board in study.boards}


def skipped(study):
    return {item.name: item.reason for item in study.skipped}


def test_rows_stand_in_the_papers_order(tmp_path) -> None:
    for model in ("visor+visionzip", "zeta", "visor", "m3", "dense", "visionzip", "visor-tr", "fastv"):
        write_run(tmp_path, model, tasks=("gqa", "chartqa"))
    study = read_study(tmp_path)
    assert names(study) == {
        "mini": ["dense", "visionzip", "fastv", "m3", "zeta", "visor", "visor+visionzip", "visor-tr"]
    }
    (board,) = study.boards
    assert board.tasks == ("gqa_mini", "chartqa_mini")
    assert board.groups == {"easy": ("gqa_mini",), "hard": ("chartqa_mini",)}
    assert board.dense is board.methods[0]
    assert study.skipped == ()


def test_all_twelve_in_order(tmp_path) -> None:
    write_run(tmp_path, tasks=tuple(reversed(TASKS)), counts=8)
    (board,) = read_study(tmp_path).boards
    assert board.tasks == tuple(f"{task}_mini" for task in TASKS)
    assert len(board.groups["easy"]) == 8
    assert board.groups["hard"] == tuple(f"{task}_mini" for task in HARD)
    assert board.methods[0].overall is not None


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "paper"},
        {"suite_hash": "another"},
        {"config": {"limit": 20}},
        {"config": {"shuffle_images": True}},
    ],
)
def test_what_differs_in_its_data_never_shares_a_board(tmp_path, change) -> None:
    write_run(tmp_path, "dense", tasks=("gqa",))
    write_run(tmp_path, "visor", tasks=("gqa",), **change)
    boards = read_study(tmp_path).boards
    assert len(boards) == 2
    assert len({board.slug for board in boards}) == 2
    assert sorted(method.name for board in boards for method in board.methods) == ["dense", "visor"]


def test_runs_over_different_tasks_of_the_real_suite_share_a_board(tmp_path) -> None:
    """Each task has its own hash; the suite's is that of what they share."""
    hashes = {"gqa": "11", "pope": "22", "chartqa": "33"}

    def write(model, run_id, tasks, **changes) -> None:
        given = {task: {**hashes, **changes}[task] for task in tasks}
        write_run(tmp_path, model, run_id=run_id, tasks=tasks, suite="paper", counts=8, data_hashes=given)

    write("visor", "a", ("gqa", "pope"))
    write("visor", "b", ("chartqa",))
    write("dense", "c", ("pope", "chartqa"))
    (board,) = read_study(tmp_path).boards
    assert set(board.method("visor").tasks) == {"gqa", "pope", "chartqa"}
    write("fastv", "d", ("gqa", "pope"), pope="other")
    write("m3", "e", ("pope",), pope="other")
    assert [board.methods[0].model for board in read_study(tmp_path).boards] == ["dense", "fastv"]
    assert names(read_study(tmp_path))["paper-2"] == ["fastv", "m3"]


def test_blind_controls_come_last(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="a", tasks=("gqa",), counts=60, config={"shuffle_images": True})
    write_run(tmp_path, "visor", run_id="b", tasks=("gqa",), counts=20)
    assert [board.slug for board in read_study(tmp_path).boards] == ["mini", "mini-shuffled"]


def test_options_are_told_apart(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="a", tasks=("gqa",))
    write_run(tmp_path, "visor", run_id="b", tasks=("gqa",), config={"configuration": "1,4"})
    write_run(tmp_path, "m3", run_id="c", tasks=("gqa",))
    write_run(tmp_path, "m3", run_id="d", tasks=("gqa",), config={"model_args": {"factor": 16}})
    write_run(tmp_path, "dense", run_id="e", tasks=("gqa",))
    write_run(tmp_path, "dense", run_id="f", tasks=("gqa",), checkpoint="other", weights_hash="99")
    study = read_study(tmp_path)
    assert names(study)["mini"] == [
        "dense (embedded:dense-tiny)",
        "dense (other)",
        "m3",
        "m3 factor=16",
        "visor",
        "visor [1, 4]",
    ]
    assert study.boards[0].dense is None


def test_kernels_tell_runs_apart_and_older_records_are_stock(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="older", tasks=("gqa",))
    write_run(tmp_path, "visor", run_id="stock", tasks=("gqa",), config={"kernels": "stock"})
    write_run(tmp_path, "visor", run_id="packed", tasks=("gqa",), config={"kernels": "packed"})
    study = read_study(tmp_path)
    assert sorted(names(study)["mini"]) == ["visor (packed kernels)", "visor (stock kernels)"]
    assert study.superseded == {"older": "stock"}


def test_the_processors_hash_splits_no_row(tmp_path) -> None:
    """Older records do not hold it; rows are told apart by weights and options."""
    write_run(tmp_path, "visor", run_id="a", tasks=("gqa",))
    write_run(tmp_path, "visor", run_id="b", tasks=("gqa",), config={"processor": "ab"})
    write_run(tmp_path, "visor", run_id="c", tasks=("gqa",), config={"processor": "ab"}, weights_hash="9")
    study = read_study(tmp_path)
    assert names(study)["mini"] == ["visor (weights ab)", "visor (weights 9)"]
    assert study.superseded == {"a": "b"}


def test_the_newest_of_equal_runs_counts_and_the_older_is_named(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="old", tasks=("gqa",), right=0.2, started_utc="2026-01-01T00:00:00+00:00")
    new = write_run(tmp_path, "visor", run_id="new", tasks=("gqa",), started_utc="2026-01-02T00:00:00+00:00")
    study = read_study(tmp_path)
    assert study.superseded == {"old": "new"}
    assert study.boards[0].methods[0].samples["gqa_mini"] == new.samples


def test_runs_over_different_tasks_make_one_row(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="a", tasks=("gqa", "pope"), started_utc="2026-01-01T00:00:00+00:00")
    write_run(tmp_path, "visor", run_id="b", tasks=("pope", "chartqa"), started_utc="2026-01-02T00:00:00+00:00")
    study = read_study(tmp_path)
    (method,) = study.boards[0].methods
    assert list(method.tasks) == ["gqa_mini", "pope_mini", "chartqa_mini"]
    assert {sample.run_id for sample in method.samples["pope_mini"]} == {"b"}
    assert [run.run_id for run in method.runs] == ["a", "b"]
    assert study.superseded == {}


def test_a_mean_needs_all_its_tasks(tmp_path) -> None:
    write_run(tmp_path, "dense", tasks=("gqa", "pope", "chartqa"))
    write_run(tmp_path, "visor", tasks=("gqa", "chartqa"))
    visor = read_study(tmp_path).boards[0].method("visor")
    assert set(visor.groups) == {"hard"}
    assert visor.overall is None


def damage(made, how) -> None:
    path = made.folder.path
    text = (path / "samples.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    if how == "torn":
        (path / "samples.jsonl").write_text(text[:-30])
    elif how == "a line lost":
        (path / "samples.jsonl").write_text("".join(lines[:-1]))
    elif how == "a line twice":
        (path / "samples.jsonl").write_text(text + lines[0])
    elif how == "no samples":
        (path / "samples.jsonl").unlink()
    elif how == "garbage":
        (path / "samples.jsonl").write_bytes(b"\xff\xfe\x00")
    elif how == "run.json garbage":
        (path / "run.json").write_text("{")
    elif how == "newer schema":
        (path / "samples.jsonl").write_text(
            "".join(json.dumps({**json.loads(line), "schema_version": 99}) + "\n" for line in lines)
        )
    elif how == "score out of range":
        (path / "samples.jsonl").write_text(
            "".join(json.dumps({**json.loads(line), "score": 7.0}) + "\n" for line in lines)
        )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("torn", "cut off"),
        ("a line lost", "lmms-eval scored 40"),
        ("a line twice", "twice"),
        ("no samples", "no samples.jsonl"),
        ("garbage", "samples.jsonl"),
        ("run.json garbage", "run.json"),
        ("newer schema", "newer than"),
        ("score out of range", "0..1"),
    ],
)
def test_damage_is_skipped_by_name(tmp_path, how, reason) -> None:
    write_run(tmp_path, "dense", tasks=("gqa",))
    damage(write_run(tmp_path, "visor", run_id="broken", tasks=("gqa",)), how)
    study = read_study(tmp_path)
    assert names(study) == {"mini": ["dense"]}
    assert list(skipped(study)) == ["broken"]
    assert reason in skipped(study)["broken"]


def test_an_unfinished_run_is_skipped_by_name(tmp_path) -> None:
    made = write_run(tmp_path, "visor", run_id="half", tasks=("gqa",))
    made.folder.write_run(replace(made.run, status="started"))
    study = read_study(tmp_path)
    assert study.boards == ()
    assert "not finished" in skipped(study)["half"]


def test_other_folders_are_no_runs(tmp_path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("")
    (tmp_path / "README.md").write_text("")
    study = read_study(tmp_path)
    assert (study.boards, study.skipped) == ((), ())
    with pytest.raises(StoreError):
        read_study(tmp_path / "nowhere")


def test_facts_that_no_record_tells(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="a", tasks=("gqa",), suite="paper", checkpoint="my-weights")
    write_run(tmp_path, "dense", run_id="b", tasks=("gqa",), suite="paper")
    board = read_study(tmp_path, facts=Facts(backbone="llava-ov-1.5b", training_data={"visor": 50.0})).boards[0]
    assert board.method("visor").backbone == "llava-ov-1.5b"
    assert board.method("dense").backbone == "llava-ov-0.5b"
    assert board.method("visor").training_data == 50.0
    assert board.method("dense").training_data is None
    assert read_study(tmp_path).boards[0].method("visor").backbone is None
