"""Each method less dense, task by task, on paired samples: what the triangles of the other tables rest on."""

from visor_reports.study import Board
from visor_reports.table import EMPTY, Absent, Cell, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import AgainstDense, plain_row, score_columns, setting_sentence


def paired_differences(board: Board, tests: AgainstDense) -> Table | Absent:
    """Two lines per method: the difference with its interval, and the corrected p-value."""
    name = f"paired-differences-{board.slug}"
    if tests.reference is None:
        return Absent(name=name, reason="needs exactly one dense run to compare with")
    if not tests.found:
        return Absent(name=name, reason="no other method was run on the samples of the dense run")
    columns = score_columns(board, overall=True)
    rows: list[Row] = []
    for method in board.methods:
        found = [tests.found.get((method.name, column)) for column, _ in columns]
        if not any(found):
            continue
        differences = [
            EMPTY if one is None else score_cell(one.test.difference, change=one.change, kind=Kind.DIFFERENCE)
            for one in found
        ]
        p_values = [EMPTY if one is None else Cell(value=one.p_adjusted, kind=Kind.PROBABILITY) for one in found]
        rows.append(plain_row([Cell(value=method.name), Cell(value="difference"), *differences], rule=bool(rows)))
        rows.append(plain_row([EMPTY, Cell(value="p, corrected"), *p_values]))
    return Table(
        name=name,
        title="Differences from dense",
        caption=f"{setting_sentence(board)} Score less {tests.reference.name}'s, in points, on the same samples, with "
        f"its paired 95 % bootstrap interval. {tests.sentence}",
        columns=(Column(header="Method"), Column(header="Quantity"), *(head for _, head in columns)),
        rows=tuple(rows),
    )
