"""The main comparison: every method, every task, group means, savings (the shape of the paper's S2, S3, S5 and S7)."""

from visor_reports.study import Board
from visor_reports.table import EMPTY, Absent, Column, Kind, Row, Table, ranked
from visor_reports.tables.scoring import (
    INTERVALS,
    RANKS,
    AgainstDense,
    method_cell,
    plain_row,
    printed_beside,
    printed_cells,
    printed_name,
    saving_cell,
    score_columns,
    setting_sentence,
    tested_row,
)

_SAVINGS = (
    Column(header="paper", kind=Kind.SAVING, span="Avg. saving", key="saving_paper"),
    Column(header="exact", kind=Kind.SAVING, span="Avg. saving", key="saving_exact"),
)


def main_comparison(board: Board, tests: AgainstDense) -> Table | Absent:
    """Scores of all methods; the paper's printed values stand below a method where it prints them for this backbone."""
    name = f"main-comparison-{board.slug}"
    if not board.methods:
        return Absent(name=name, reason="no finished run of this suite")
    columns = score_columns(board)
    heads = [column for _, column in columns]
    rows: list[Row] = []
    ours_began = False
    for method in board.methods:
        begins = method.is_ours and not ours_began and bool(rows)
        ours_began = ours_began or method.is_ours
        savings = [saving_cell(method, "paper"), saving_cell(method, "exact")]
        rows.append(plain_row([method_cell(method), *tested_row(method, columns, tests), *savings], rule=begins))
        printed = printed_beside(board, method)
        if printed is not None:
            cells = [printed_name(method, printed), *printed_cells(printed, columns)]
            rows.append(plain_row([*cells, printed.values.get("saving", EMPTY), EMPTY], printed=True))
    every = (Column(header="Method"), *heads, *_SAVINGS)
    return Table(
        name=name,
        title="Main comparison",
        caption=" ".join(
            part
            for part in (
                setting_sentence(board),
                "Scores 0-100; averages are plain means over tasks.",
                "Savings are dense cost over method cost, plain mean over all tasks: paper = vision tokens x layers of "
                "one tile, exact = executed decoder prefill FLOPs.",
                INTERVALS,
                RANKS,
                tests.sentence,
            )
            if part
        ),
        columns=every,
        rows=ranked(rows, every),
    )
