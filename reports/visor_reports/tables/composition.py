"""VISOR on fewer vision tokens: packing and token reducers composed with it (the main paper's composition table)."""

from visor_reports.study import Board, Method
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
        savings = [saving_cell(method, "paper"), saving_cell(method, "exact")]
        rows.append(plain_row([method_cell(method), *savings, *tested_row(method, columns, tests)]))
        printed = printed_beside(board, method)
        if printed is not None and _is_composed(method):
            saving = printed.values.get("saving", EMPTY)
            cells = [printed_name(method, printed), saving, EMPTY, *printed_cells(printed, columns)]
            rows.append(plain_row(cells, printed=True))
    every = (
        Column(header="Method"),
        Column(header="paper", kind=Kind.SAVING, span="Avg. saving", key="saving_paper"),
        Column(header="exact", kind=Kind.SAVING, span="Avg. saving", key="saving_exact"),
        *(head for _, head in columns),
    )
    return Table(
        name=name,
        title="Composition with token reduction",
        caption=f"{setting_sentence(board)} VISOR alone, token reduction alone, and both. {INTERVALS} {RANKS} "
        f"{tests.sentence}".strip(),
        columns=every,
        rows=ranked(rows, every),
    )


def _is_composed(method: Method) -> bool:
    return method.is_ours and (len(method.parts) > 1 or method.model.startswith("visor-tr"))
