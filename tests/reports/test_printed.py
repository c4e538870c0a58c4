"""The paper's numbers as transcribed, and its averages recomputed."""

import pytest

from visor_reports.paper import disagreements, printed_table
from visor_reports.paper.printed import EASY, HARD, TITLES
from visor_reports.table import Kind
from visor_reports.tables.paper_tables import paper_table, paper_tables


def test_what_was_transcribed() -> None:
    assert {name: len(printed_table(name)) for name in TITLES} == {
        "headline": 6,
        "composition": 5,
        "layer_ablation": 3,
        "s1": 4,
        "s2": 2,
        "s3": 4,
        "s4": 4,
        "s5": 9,
        "s6": 2,
        "s7": 3,
        "s8": 2,
    }
    visor = printed_table("s5")[-1]
    assert (visor.ours, visor.backbone, visor.saving) == ("visor", "llava-ov-1.5b", 6.6)
    assert [visor.values[task] for task in HARD] == [68.3, 63.7, 44.4, 75.3]
    assert printed_table("s3")[1].ours == "m3 factor=16"
    with pytest.raises(KeyError, match="s9"):
        printed_table("s9")


def test_tables_agree_with_each_other() -> None:
    """VISOR and VISOR-TR stand in several tables with the same cells."""
    first = {row.method: row.values for row in printed_table("s1") if row.quantity == "accuracy"}
    assert printed_table("s3")[-1].values["docvqa_val"] == first["VISOR-TR"]["docvqa_val"]
    assert all(printed_table("s6")[0].values[task] == first["VISOR"][task] for task in (*EASY, *HARD))
    assert all(printed_table("s4")[0].values[task] == first["VISOR-TR"][task] for task in (*EASY, *HARD))


def test_only_these_averages_do_not_follow_from_their_cells() -> None:
    found = {
        (name, row.method, key): note
        for name in TITLES
        for row in printed_table(name)
        for key, note in disagreements(row).items()
    }
    assert set(found) == {
        ("s5", "PyramidDrop", "avg_easy"),
        ("s5", "VISOR", "avg_easy"),
        ("composition", "VISOR", "flops_saving"),
        ("composition", "VISOR-TR 2x", "flops_saving"),
    }
    assert "prints 59.1" in found["s5", "PyramidDrop", "avg_easy"]
    assert "62.4" in found["s5", "PyramidDrop", "avg_easy"]
    assert "8.63x" in found["composition", "VISOR", "flops_saving"]


def test_they_are_shown_as_printed_and_footnoted() -> None:
    shown = paper_table("s5")
    assert [column.header for column in shown.columns][:3] == ["Method", "RealWorldQA", "ScienceQA"]
    assert [column.span for column in shown.columns].count("Hard") == 5
    assert all(row.printed for row in shown.rows)
    assert len(shown.notes) == 2
    savings = paper_table("s1").rows[1].cells
    assert savings[1].value == "saving"
    assert savings[2].kind is Kind.SAVING
    assert len({table.name for table in paper_tables()}) == len(TITLES)
