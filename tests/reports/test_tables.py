"""The tables over runs: shape, empty cells, averages, marks that were tested, the paper's values beside ours."""

import pytest

from tests.reports.studies import HARD, TASKS, write_run, write_thirteen
from visor_eval.analysis.paired import compare_group
from visor_reports.comparing import CompareError, compare_runs
from visor_reports.reading import Facts, read_study
from visor_reports.table import Absent, Change, Rank, Table
from visor_reports.tables import (
    AgainstDense,
    all_tables,
    composition,
    cost_breakdown,
    fastvlm,
    main_comparison,
    matched_cost,
    multi_image,
    paired_differences,
    per_dataset_savings,
    training_data_size,
)


@pytest.fixture(scope="module")
def thirteen(tmp_path_factory):
    root = tmp_path_factory.mktemp("thirteen")
    write_thirteen(root, 24)
    return read_study(root)


def row(table, name):
    return next(row for row in table.rows if row.cells[0].value == name)


def headers(table):
    return [(column.span, column.header) for column in table.columns]


def test_the_main_comparison_has_the_papers_shape(thirteen) -> None:
    board = thirteen.boards[0]
    table = main_comparison(board, AgainstDense(board))
    assert [span for span, _ in headers(table)] == ["", *["Easy"] * 9, *["Hard"] * 5, "Avg. saving", "Avg. saving"]
    assert [header for _, header in headers(table)][9] == "Avg."
    assert len(table.rows) == 13
    assert "synthetic, not comparable" in table.caption
    visor = row(table, "visor")
    method = board.method("visor")
    assert visor.rule is False
    assert visor.cells[9].value == pytest.approx(sum(method.tasks[t].score.estimate for t in board.groups["easy"]) / 8)
    assert visor.cells[-2].value == pytest.approx(6.0)
    for cell in visor.cells[1:]:
        assert cell.interval is not None
        assert cell.interval.low <= cell.value <= cell.interval.high
    assert [cell.rank for cell in row(table, "dense").cells].count(Rank.BEST) > 0
    assert row(table, "visor-zero").rule is True


def test_marks_stand_where_the_corrected_test_holds(thirteen) -> None:
    board = thirteen.boards[0]
    tests = AgainstDense(board)
    table = main_comparison(board, tests)
    changes = [cell.change for cell in row(table, "visor-zero").cells]
    assert changes.count(Change.WORSE) >= 3
    assert all(cell.change is None for cell in row(table, "dense").cells)
    assert f"Holm over {12 * 15} comparisons" in table.caption
    differences = paired_differences(board, tests)
    task = board.tasks[0]
    alone = compare_group([(board.dense.samples[task], board.method("visor-zero").samples[task])])
    found = row(differences, "visor-zero")
    assert found.cells[2].value == pytest.approx(alone.difference.estimate)
    p_adjusted = differences.rows[differences.rows.index(found) + 1].cells[2].value
    assert p_adjusted >= alone.p_value
    assert (p_adjusted < 0.05) == (found.cells[2].change is not None)


def test_a_cell_without_a_run_is_empty(tmp_path) -> None:
    write_run(tmp_path, "dense", tasks=("gqa", "pope", "chartqa"))
    write_run(tmp_path, "visor", tasks=("gqa", "chartqa"))
    board = read_study(tmp_path).boards[0]
    table = main_comparison(board, AgainstDense(board))
    assert [header for _, header in headers(table)] == [
        *("Method", "GQA", "POPE", "Avg. of 2", "ChartQA", "Avg. of 1", "paper", "exact")
    ]
    cells = row(table, "visor").cells
    assert [cell.value is None for cell in cells] == [False, False, True, True, False, False, True, True]


def test_runs_that_answered_other_samples_are_not_tested(tmp_path) -> None:
    write_run(tmp_path, "dense", tasks=("gqa",), counts=40)
    write_run(tmp_path, "visor", tasks=("gqa",), counts=30, right=0.05)
    board = read_study(tmp_path).boards[0]
    assert AgainstDense(board).found == {}
    assert isinstance(paired_differences(board, AgainstDense(board)), Absent)


def test_savings_per_dataset(thirteen) -> None:
    board = thirteen.boards[0]
    table = per_dataset_savings(board, AgainstDense(board))
    index = next(i for i, one in enumerate(table.rows) if one.cells[0].value == "visor-tr")
    score, paper, exact = table.rows[index : index + 3]
    assert [one.cells[1].value for one in (score, paper, exact)] == ["score", "saving, paper", "saving, exact"]
    assert all(cell.value == pytest.approx(12.0) for cell in paper.cells[2:])
    saving = board.method("visor-tr").tasks["gqa_mini"].saving["exact"]
    assert exact.cells[2 + board.tasks.index("gqa_mini")].value == saving.estimate


def test_matched_cost_pairs_only_what_costs_the_same(thirteen) -> None:
    board = thirteen.boards[0]
    table = matched_cost(board)
    assert len(table.rows) % 3 == 0
    for ours, other, difference in zip(table.rows[::3], table.rows[1::3], table.rows[2::3], strict=True):
        low, high = sorted([ours.cells[2].value, other.cells[2].value])
        assert high / low <= 1.25
        assert difference.cells[3].value == pytest.approx(ours.cells[3].value - other.cells[3].value)
    assert "visor" in [one.cells[0].value for one in table.rows]


def test_cost_by_component_adds_up(thirteen) -> None:
    table = cost_breakdown(thirteen.boards[0])
    names = [column.header for column in table.columns]
    for one in table.rows:
        parts = [cell.value or 0.0 for cell in one.cells[1 : names.index("whole")]]
        assert sum(parts) == pytest.approx(one.cells[names.index("whole")].value)
    dense, visor = row(table, "dense"), row(table, "visor")
    assert dense.cells[names.index("cross-attention")].value is None
    assert visor.cells[names.index("cross-attention")].value > 0
    assert visor.cells[names.index("layers")].value == 4


def test_composition(tmp_path) -> None:
    for model, full in (("dense", None), ("visionzip", (1, 3, 4)), ("visor", (1, 4, 7)), ("visor+visionzip", (1, 4))):
        write_run(tmp_path, model, tasks=("gqa", "chartqa"), full=full)
    write_run(tmp_path, "fastv", tasks=("gqa", "chartqa"), full=(1, 3))
    board = read_study(tmp_path).boards[0]
    table = composition(board, AgainstDense(board))
    assert [one.cells[0].value for one in table.rows] == ["dense", "visionzip", "visor", "visor+visionzip"]


def test_the_papers_values_stand_below_the_same_method_on_the_same_backbone(tmp_path) -> None:
    for model, full in (("dense", None), ("visionzip", (1, 3, 4, 6)), ("pyramiddrop", (1, 3, 4)), ("visor", (1, 4))):
        checkpoint = "my-visor-weights" if model == "visor" else "llava-onevision-qwen2-1.5b-ov"
        write_run(tmp_path, model, suite="paper", full=full, counts=12, checkpoint=checkpoint)
    plain = read_study(tmp_path).boards[0]
    names = [one.cells[0].value for one in main_comparison(plain, AgainstDense(plain)).rows]
    assert names == [
        *("dense", "dense, paper", "visionzip", "visionzip, paper", "pyramiddrop", "pyramiddrop, paper", "visor")
    ]
    board = read_study(tmp_path, facts=Facts(backbone="llava-ov-1.5b")).boards[0]
    table = main_comparison(board, AgainstDense(board))
    printed = row(table, "visor, paper")
    assert printed.printed
    assert [cell.value for cell in printed.cells[1:4]] == [57.5, 84.7, 62.5]
    assert printed.cells[-2].value == 6.6
    assert all(cell.rank is None for cell in printed.cells)
    drop = row(table, "pyramiddrop, paper").cells[9]
    assert drop.value == 59.1
    assert any("62.4" in note for note in drop.notes)


def test_mini_numbers_never_stand_beside_the_papers(tmp_path) -> None:
    write_run(tmp_path, "visor", counts=12, checkpoint="llava-onevision-qwen2-0.5b-ov-hf")
    write_run(tmp_path, "visor", counts=12, suite="paper", config={"limit": 12})
    for board in read_study(tmp_path).boards:
        assert not any(one.printed for one in main_comparison(board, AgainstDense(board)).rows)


def test_training_data(tmp_path) -> None:
    write_run(tmp_path, "visor", run_id="full", suite="paper", counts=12)
    write_run(tmp_path, "visor", run_id="half", suite="paper", counts=12, weights_hash="other")
    board = read_study(tmp_path).boards[0]
    assert isinstance(training_data_size(board, AgainstDense(board)), Absent)
    board = read_study(tmp_path, facts=Facts(training_data={"full": 100, "half": 50})).boards[0]
    table = training_data_size(board, AgainstDense(board))
    assert [(one.cells[1].value, one.printed) for one in table.rows] == [
        *((100, False), (50, False), (100, True), (50, True))
    ]
    assert table.rows[3].cells[1 + 1].value == 56.9


def test_values_printed_in_several_tables_are_joined(tmp_path) -> None:
    write_run(tmp_path, "visor", suite="paper", counts=12)
    write_run(tmp_path, "m3", suite="paper", counts=12, config={"model_args": {"factor": 16}})
    board = read_study(tmp_path).boards[0]
    table = main_comparison(board, AgainstDense(board))
    keys = [column.key or column.header for column in table.columns]
    visor = row(table, "visor, paper").cells
    assert [visor[keys.index(key)].value for key in ("GQA", "avg_easy", "saving_paper")] == [61.8, 63.6, 8.6]
    assert "Table S1, main paper" in visor[0].notes[0]
    assert row(table, "m3 factor=16, paper").cells[keys.index("DocVQA")].value == 58.0


def test_fastvlm(tmp_path) -> None:
    write_run(tmp_path, "dense", run_id="siglip", suite="paper", counts=12)
    write_run(tmp_path, "dense", run_id="fast", suite="paper", counts=12, checkpoint="my-fast-weights")
    write_run(tmp_path, "visor", suite="paper", counts=12, checkpoint="my-fast-visor", full=(1, 4, 7))
    board = read_study(tmp_path, facts=Facts(backbone="fastvlm-0.5b")).boards[0]
    table = fastvlm(board, AgainstDense(board))
    assert [(one.cells[1].value, one.printed) for one in table.rows] == [
        ("llava-ov-0.5b", False),
        ("llava-ov-0.5b", True),
        ("fastvlm-0.5b", False),
        ("fastvlm-0.5b", True),
        ("fastvlm-0.5b", False),
        ("fastvlm-0.5b", True),
    ]
    assert table.rows[5].cells[-2].value == 60.0


def test_several_images(tmp_path) -> None:
    write_run(tmp_path, "dense", suite="paper", tasks=("gqa",))
    board = read_study(tmp_path).boards[0]
    assert isinstance(multi_image(board, AgainstDense(board)), Absent)


def test_every_table_is_there_or_absent_with_a_reason(thirteen) -> None:
    tables = all_tables(thirteen)
    assert len({table.name for _, table in tables}) == len(tables)
    for board, table in tables:
        assert isinstance(table, Table) or table.reason
        if board is None:
            assert table.name.startswith("printed-") or isinstance(table, Absent)
    assert sum(isinstance(table, Table) for board, table in tables if board) >= 5


def test_compare(thirteen) -> None:
    board, table = compare_runs(thirteen, "dense", "visor-zero")
    assert board is thirteen.boards[0]
    assert len(table.rows) == 15
    first = table.rows[0].cells
    assert first[4].value == pytest.approx(first[3].value - first[2].value)
    assert [one.cells[0].value for one in table.rows[12:]] == ["mean easy", "mean hard", "all tasks"]
    assert table.rows[14].cells[4].change is Change.WORSE
    _, mirrored = compare_runs(thirteen, "visor-zero", "dense")
    assert mirrored.rows[0].cells[4].value == pytest.approx(-first[4].value)
    assert mirrored.rows[0].cells[5].value == first[5].value


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ("dense", "nothing", "no run 'nothing'"),
        ("dense", "dense", "the same row"),
        ("dense", "apart", "not comparable"),
        ("dense", "broken", "cannot be compared"),
        ("dense", "2026", "may be any of"),
        ("dense", "results/20260101-000000-dense-mini/", "the same row"),
    ],
)
def test_compare_refuses(tmp_path, left, right, message) -> None:
    write_run(tmp_path, "dense", tasks=("gqa",))
    write_run(tmp_path, "visor", tasks=("gqa",))
    write_run(tmp_path, "fastv", run_id="apart", tasks=("gqa",), suite_hash="x")
    (write_run(tmp_path, "m3", run_id="broken", tasks=("gqa",)).folder.path / "samples.jsonl").unlink()
    with pytest.raises(CompareError, match=message):
        compare_runs(read_study(tmp_path), left, right)


def test_the_synthetic_tasks_are_the_twelve() -> None:
    assert set(HARD) < set(TASKS)
    assert len(TASKS) == 12
