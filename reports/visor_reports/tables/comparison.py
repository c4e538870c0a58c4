"""The main comparison: every method, every task, group means, savings (the shape of the paper's S2, S3, S5 and S7)."""

from visor_reports.study import Board
from visor_reports.table import Absent, Column, Row, Table, ranked
from visor_reports.tables.scoring import (
    INTERVALS,
    RANKS,
    SAVINGS,
    AgainstDense,
    caption,
    own_line,
    printed_line,
    score_columns,
)


def main_comparison(board: Board, tests: AgainstDense) -> Table | Absent:
    """Scores of all methods; the paper's printed values stand below a method where it prints them for this backbone."""
    name = f"main-comparison-{board.slug}"
    if not board.methods:
        return Absent(name=name, reason="no finished run of this suite")
    columns = score_columns(board)
    rows: list[Row] = []
    ours_began = False
    for method in board.methods:
        begins = method.is_ours and not ours_began and bool(rows)
        ours_began = ours_began or method.is_ours
        own = own_line(method, columns, tests)
        rows.append(own.row(own.scores, own.savings, rule=begins))
        if printed := printed_line(board, method, columns):
            rows.append(printed.row(printed.scores, printed.savings))
    every = (Column(header="Method"), *(head for _, head in columns), *SAVINGS)
    return Table(
        name=name,
        title="Main comparison",
        caption=caption(
            board,
            "Scores 0-100; averages are plain means over tasks.",
            "Savings are dense cost over method cost, plain mean over all tasks: paper = vision tokens x layers of "
            "one tile, exact = executed decoder prefill FLOPs.",
            INTERVALS,
            RANKS,
            tests.sentence,
        ),
        columns=every,
        rows=ranked(rows, every),
    )
