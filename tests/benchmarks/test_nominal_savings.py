"""docs/savings.md is what the benchmark prints, and its nominal column what the paper's accounting says."""

from pathlib import Path

import pytest

from benchmarks import nominal_savings

PAGE = Path(__file__).parents[2] / "docs" / "savings.md"
NOMINAL = {  # 729 tokens per tile, 24 layers; docs/cost.md
    "visionzip": 729 / 128,
    "vispruner": 729 / 128,
    "vispruner-16x": 729 / 46,
    "hired": 5.0,
    "m3": 729 / 90,
    "m3 16x": 729 / 49,
    "downsample": 729 / 182,
    "pyramiddrop": (8 * 24 / 4.9 + 4 * 24 / 9.5) / 12,
    "sparsevlm": 3.80,
    "visor [1, 4]": 12.0,
    "visor [1, 4, 7]": 8.0,
    "visor [1, 4, 7, 16]": 6.0,
    "visor-tr 2x [1, 4]": 24.0,
    "visor-tr 4x [1, 4]": 48.0,
}


def test_the_page_is_what_is_printed(capsys):
    nominal_savings.main()
    table = capsys.readouterr().out
    assert PAGE.read_text(encoding="utf-8").endswith(table)
    rows = {cells[1].strip(): float(cells[2]) for cells in (line.split("|") for line in table.splitlines()[2:])}
    assert {name: rows[name] for name in NOMINAL} == pytest.approx(NOMINAL, abs=0.02)
