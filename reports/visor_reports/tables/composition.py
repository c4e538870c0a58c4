"""VISOR on fewer vision tokens: packing and token reducers composed with it (the main paper's composition table)."""

from visor_reports.study import Board, Method
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


def composition(board: Board, tests: AgainstDense) -> Table | Absent:
    """VISOR, what it is composed with, and the compositions: savings, then group means."""
    name = f"composition-{board.slug}"
    composed = [method for method in board.methods if _is_composed(method)]
    if not composed:
        return Absent(name=name, reason="no run of VISOR with packed or reduced vision tokens")
    parts = {part for method in composed for part in method.parts}
    shown = [m for m in board.methods if _is_composed(m) or m.is_dense or (len(m.parts) == 1 and m.model in parts)]
    if not any(method.model == "visor" for method in shown):
        shown += [method for method in board.methods if method.model == "visor"]
    columns = [(score, head) for score, head in score_columns(board, overall=True) if score.kind != "task"]
    rows: list[Row] = []
    for method in sorted(shown, key=board.methods.index):
        printed = printed_line(board, method, columns) if _is_composed(method) else None
        lines = filter(None, (own_line(method, columns, tests), printed))
        rows += [line.row(line.savings, line.scores) for line in lines]
    every = (Column(header="Method"), *SAVINGS, *(head for _, head in columns))
    return Table(
        name=name,
        title="Composition with token reduction",
        caption=caption(board, "VISOR alone, token reduction alone, and both.", INTERVALS, RANKS, tests.sentence),
        columns=every,
        rows=ranked(rows, every),
    )


def _is_composed(method: Method) -> bool:
    return method.is_ours and (len(method.parts) > 1 or method.model.startswith("visor-tr"))
