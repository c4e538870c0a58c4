"""The tables of a search, of scores without answers, and of router labels: what they say, at most 100 columns wide."""

from tests.analysis.test_labels import sweep
from tests.analysis.test_viable import SUBSETS, samples
from visor_eval.analysis.labels import pseudo_labels
from visor_eval.analysis.viable import search
from visor_eval.records.pseudo_labels import PER_DATASET, PER_SAMPLE
from visor_reports.labels import labels_table
from visor_reports.viable import matches_table, search_table


def narrow(text: str) -> list[str]:
    """Its lines, none wider than 100 columns."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def row_of(lines: list[str], start: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(start))
    return found.split()


def test_a_search():
    lines = narrow(search_table(search(samples(), keep=4)))
    assert lines[0].startswith(f"{len(SUBSETS)} configurations on 192 samples")
    assert row_of(lines, "[1,4,10] ") == ["[1,4,10]", "100.0", "100.0", "100.0"]
    assert lines[-1] == "proposed (4): [1]  [1,4]  [1,10]  [1,4,10]"
    assert any(line.startswith("  hard") and "not distinguishable" not in line for line in lines)


def test_scores_without_answers():
    lines = narrow(matches_table(samples()))
    assert row_of(lines, "[1,4,10] ") == ["[1,4,10]", "100.0", "2.00"]
    assert row_of(lines, "[] ") == ["[]", "25.0", "0.50"]


def test_labels():
    found = sweep(big=100, middle=99, small=50)
    assert row_of(narrow(labels_table(pseudo_labels(found, PER_DATASET))), "gqa") == [
        *("gqa", "100", "[1,7]", "99.0", "100.0", "100.0")
    ]
    lines = narrow(labels_table(pseudo_labels(found, PER_SAMPLE)))
    assert row_of(lines, "[1,4] ")[1:] == ["50", "50.0"]
    assert row_of(lines, "[1,7] ")[1:] == ["49", "49.0"]
    assert row_of(lines, "all")[1:] == ["100", "100.0"]
