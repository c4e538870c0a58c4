"""Sweeps and benches: read from disk, matched to the runs on the same data, and shown as they are."""

from dataclasses import replace

import pytest

from tests.analysis import sweeps as made
from tests.records.benches import entry, record, timing
from tests.records.examples import run
from tests.reports.studies import write_run, write_thirteen
from visor_eval.records.bench import BenchFolder, BenchRecord
from visor_eval.records.folder import sample_key
from visor_eval.records.sweep import SweepFolder
from visor_reports.reading import read_study
from visor_reports.table import Absent, Kind
from visor_reports.tables import AgainstDense, sensitivity
from visor_reports.tables.oracle_tables import sweep_tables
from visor_reports.tables.realised_speed import realised_speed, speed_tables

CONFIGURATIONS = ((1, 4), (1, 4, 7), (1, 4, 7, 16))


def write_sweep(root, name="sweep", *, generated=True, status="finished", **config):
    """The router sends all to three layers."""
    folder = SweepFolder(root / name)
    settings = {"configurations": [list(c) for c in CONFIGURATIONS], "limit": None, "shuffle_images": False}
    tasks = tuple(made.EASY_AND_HARD)
    folder.write_run(replace(run(), run_id="sweep", config={**settings, **config}, tasks=tasks, status=status))
    with folder.open_journal() as journal:
        for one in made.easy_and_hard(
            CONFIGURATIONS, count=20, hard=4, generated=generated, routed=(1, 4, 7), router_flops=5
        ):
            journal.append(sample_key(one), one.to_dict())
    return folder


def test_of_two_sweeps_the_newer_is_shown_whether_or_not_the_older_holds_the_processors_hash(tmp_path) -> None:
    write_sweep(tmp_path, "a")
    write_sweep(tmp_path, "b", processor="ab")
    write_sweep(tmp_path, "c", processor="ab", newline="none")
    (board,) = read_study(tmp_path).boards
    assert [sweep.run.config.get("newline") for sweep in board.sweeps] == [None, "none"]
    assert board.sweeps[0].run.config["processor"] == "ab"


def rows(table):
    return {row.cells[0].value: row.cells for row in table.rows if row.cells[0].value}


def test_a_sweep_stands_beside_the_runs_on_the_same_data(tmp_path) -> None:
    write_run(tmp_path, "dense", tasks=("gqa", "docvqa_val"), counts=20)
    write_sweep(tmp_path)
    (board,) = read_study(tmp_path).boards
    assert len(board.sweeps) == 1
    oracle, configurations, choices = sweep_tables(board)
    columns = [column.key for column in oracle.columns]
    cells = rows(oracle)["DocVQA"]
    assert cells[columns.index("oracle_score")].value == 100.0
    assert cells[columns.index("fixed")].value == "[1, 4, 7, 16]"
    assert cells[columns.index("router_score")].value == 50.0
    assert cells[columns.index("dense_score")].value == pytest.approx(
        board.dense.tasks["docvqa_val_mini"].score.estimate
    )
    assert cells[11 - 1].value == 50.0  # regret
    assert [row.cells[0].value for row in oracle.rows] == ["GQA", "DocVQA", "mean easy", "mean hard", "all tasks"]
    assert [cell.value for cell in rows(configurations)["[1, 4]"][2:]] == [100.0, 100.0, 50.0, 50.0]
    assert rows(configurations)["[1, 4]"][1].value == pytest.approx(1000 / 120)
    shares = {(row.cells[0].value, row.cells[1].value): row.cells[2:] for row in choices.rows}
    assert [cell.value for cell in shares["[1, 4]", "oracle"]] == [100.0, 50.0, 75.0]
    low = shares["[1, 4]", "oracle"][0].interval.low
    assert low == pytest.approx(83.9, abs=0.1)  # Wilson, 20 of 20
    assert ("[1, 4, 7]", "oracle") in shares  # the router takes it


def test_a_sweep_alone_makes_a_board(tmp_path) -> None:
    write_sweep(tmp_path)
    (board,) = read_study(tmp_path).boards
    assert board.methods == ()
    assert board.groups == {"easy": ("gqa_mini",), "hard": ("docvqa_val_mini",)}
    assert not any(isinstance(table, Absent) for table in sweep_tables(board))


def test_a_sweep_over_other_data_stands_apart(tmp_path) -> None:
    write_run(tmp_path, "dense", tasks=("gqa",))
    write_sweep(tmp_path, limit=20)
    assert [len(board.sweeps) for board in read_study(tmp_path).boards] == [0, 1]


def test_a_sweep_without_answers_has_no_tables(tmp_path) -> None:
    write_sweep(tmp_path, generated=False)
    tables = sweep_tables(read_study(tmp_path).boards[0])
    assert all(isinstance(table, Absent) and "no answers" in table.reason for table in tables)


def test_damaged_and_unfinished_sweeps_are_named(tmp_path) -> None:
    write_sweep(tmp_path, "half", status="started")
    folder = write_sweep(tmp_path, "broken")
    lines = (folder.path / "sweep.jsonl").read_text().splitlines(keepends=True)
    (folder.path / "sweep.jsonl").write_text("".join([lines[0], "garbage\n", *lines[1:]]))
    study = read_study(tmp_path)
    assert study.boards == ()
    assert [item.name for item in study.skipped] == ["broken", "half"]


def bench() -> BenchRecord:
    def timed(method, configuration, milliseconds, flops):
        phases = [
            timing(phase, [each / 1000 * factor for factor in (1.0, 1.1, 0.9)], count, count)
            for phase, each, count in (("prefill", milliseconds, flops), ("decode", 10, 100))
        ]
        return entry(method, 729, configuration, phases)

    return record(timed("dense", None, 800, 8000), timed("visor", (1, 4), 100, 800), run_id="20260101-bench")


def test_realised_speed(tmp_path) -> None:
    assert isinstance(speed_tables(read_study(tmp_path))[0], Absent)
    BenchFolder(tmp_path / "20260101-bench").write(bench())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bench.json").write_text("{")
    study = read_study(tmp_path)
    assert [item.name for item in study.skipped] == ["broken"]
    (table,) = speed_tables(study)
    keys = [column.key or column.header for column in table.columns]
    cells = rows(table)["visor [1, 4]"]
    assert cells[keys.index("prefill_speed_up")].value == pytest.approx(8.0)
    assert cells[keys.index("prefill_realised")].value == pytest.approx(0.8)
    assert cells[keys.index("prefill_ms")].value == pytest.approx(100.0)
    assert cells[keys.index("end_to_end_ms")].value is None
    assert rows(table)["dense"][keys.index("prefill_speed_up")].value is None
    assert realised_speed(replace(bench(), entries=())).reason == "20260101-bench measured nothing"


def test_sensitivity(tmp_path) -> None:
    write_thirteen(tmp_path, 60)
    board = read_study(tmp_path).boards[0]
    table = sensitivity(board, AgainstDense(board))
    keys = [column.key or column.header for column in table.columns]
    assert len(table.rows) == 12
    for row, task in zip(table.rows, board.tasks, strict=True):
        cells = row.cells
        losses = {
            method.name: board.dense.tasks[task].score.estimate - method.tasks[task].score.estimate
            for method in board.methods[1:]
        }
        assert cells[keys.index("methods")].value == 12
        assert cells[keys.index("loss_mean")].value == pytest.approx(sum(losses.values()) / 12)
        assert cells[keys.index("loss_largest")].value == pytest.approx(max(losses.values()))
        assert losses[cells[keys.index("loss_by")].value] == pytest.approx(max(losses.values()))
        assert cells[keys.index("loss_mean")].kind in (None, Kind.DIFFERENCE)


def test_what_loses_nothing_is_free(tmp_path) -> None:
    write_run(tmp_path, "dense", run_id="same", tasks=("gqa",), counts=200, full=None)
    write_run(tmp_path, "visor", run_id="same2", tasks=("gqa",), counts=200, full=(1, 4))
    board = read_study(tmp_path).boards[0]
    copied = tuple(
        replace(one, score=other.score)
        for one, other in zip(board.method("visor").samples["gqa_mini"], board.dense.samples["gqa_mini"], strict=True)
    )
    same = replace(board.method("visor"), samples={"gqa_mini": copied})
    board = replace(board, methods=(board.dense, same))
    table = sensitivity(board, AgainstDense(board))
    keys = [column.key or column.header for column in table.columns]
    assert table.rows[0].cells[keys.index("free_with")].value == "visor"
    assert table.rows[0].cells[keys.index("free")].value == same.tasks["gqa_mini"].saving["exact"].estimate
