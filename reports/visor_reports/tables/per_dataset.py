"""Accuracy over saving for each dataset: the shape of the paper's tables S1 and S4."""

from visor_eval.analysis.scores import benchmark
from visor_reports.names import benchmark_short
from visor_reports.paper import printed_table
from visor_reports.study import Board, Method
from visor_reports.table import EMPTY, Absent, Cell, Column, Kind, Row, Table
from visor_reports.tables.scoring import (
    INTERVALS,
    AgainstDense,
    ScoreColumn,
    caption,
    method_cell,
    plain_row,
    printed_beside,
    saving_cell,
    tested_row,
)


def per_dataset_savings(board: Board, tests: AgainstDense) -> Table | Absent:
    """Three lines per method: score, saving by the ``paper`` and by the ``exact`` accounting."""
    name = f"per-dataset-savings-{board.slug}"
    methods = [m for m in board.methods if not m.is_dense and any(task.saving for task in m.tasks.values())]
    if not methods:
        return Absent(name=name, reason="no run of a method other than dense with known costs")
    columns = [(ScoreColumn("task", task), Column(header=benchmark_short(task), key=task)) for task in board.tasks]
    rows: list[Row] = []
    for method in methods:
        scores = [Cell(value="score"), *tested_row(method, columns, tests)]
        rows.append(plain_row([method_cell(method), *scores], rule=bool(rows)))
        for accounting in ("paper", "exact"):
            savings = [saving_cell(method, accounting, task) for task in board.tasks]
            rows.append(plain_row([EMPTY, Cell(value=f"saving, {accounting}"), *savings]))
        rows += _printed(board, method)
    kinds = tuple(Column(header=column.header, kind=Kind.SCORE, key=column.key) for _, column in columns)
    return Table(
        name=name,
        title="Savings per dataset",
        caption=caption(
            board,
            "Score (0-100) over saving against dense on the same samples, by two accountings (factors).",
            INTERVALS,
            tests.sentence,
        ),
        columns=(Column(header="Method"), Column(header="Quantity"), *kinds),
        rows=tuple(rows),
    )


def _printed(board: Board, method: Method) -> list[Row]:
    """The paper's two lines for the same method and backbone."""
    if printed_beside(board, method) is None:
        return []
    rows = []
    for row in (*printed_table("s1"), *printed_table("s4")):
        if row.ours != method.variant or row.backbone != method.backbone or len(rows) == 2:
            continue
        note = (f"Printed in the VISOR paper, Table {row.table.upper()}.",)
        keys = [benchmark(task) for task in board.tasks]
        label = "score" if row.quantity == "accuracy" else "saving, paper"
        kind = Kind.SCORE if row.quantity == "accuracy" else Kind.SAVING
        cells = [Cell(value=f"{method.name}, paper", notes=note) if not rows else EMPTY, Cell(value=label)]
        numbers = [Cell(value=row.values.get(key), kind=kind, digits=row.digits.get(key)) for key in keys]
        rows.append(plain_row([*cells, *numbers], printed=True))
    return rows
