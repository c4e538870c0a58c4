"""Fewer tokens or fewer layers: each VISOR variant beside the token reducers that cost as much (the paper's S3)."""

from visor_eval.analysis.paired import holm
from visor_reports.study import Board, Method
from visor_reports.table import EMPTY, Absent, Cell, Change, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import (
    ALPHA,
    INTERVALS,
    SAVINGS,
    compare,
    method_cell,
    plain_row,
    saving_cell,
    score_columns,
    setting_sentence,
)

MATCH = 1.25  # costs within this factor count as equal


def matched_cost(board: Board) -> Table | Absent:
    """Pairs of (VISOR variant, token reducer) whose exact costs differ by at most 25 %."""
    name = f"matched-cost-{board.slug}"
    pairs = [
        (ours, other)
        for ours in board.methods
        if ours.is_ours
        for other in board.methods
        if not other.is_ours and not other.is_dense and _matched(ours, other)
    ]
    if not pairs:
        return Absent(name=name, reason=f"no token reducer costs within a factor of {MATCH} of a VISOR variant")
    columns = [(score, head) for score, head in score_columns(board, overall=True) if score.kind != "task"]
    tests = [compare(other, ours, column.tasks(board)) for ours, other in pairs for column, _ in columns]
    adjusted = iter(holm([float("nan") if test is None else test.p_value for test in tests]))
    found = iter(tests)
    rows: list[Row] = []
    for ours, other in pairs:
        rows.append(_scores(ours, columns, rule=bool(rows)))
        rows.append(_scores(other, columns))
        cells = []
        for _ in columns:
            test, p = next(found), next(adjusted)
            better = None if test is None else Change.BETTER if test.difference.estimate > 0 else Change.WORSE
            change = better if p < ALPHA else None
            difference = None if test is None else test.difference
            cells.append(score_cell(difference, change=change, kind=Kind.DIFFERENCE))
        rows.append(plain_row([Cell(value="difference"), EMPTY, EMPTY, *cells]))
    return Table(
        name=name,
        title="Token reduction against VISOR at matched cost",
        caption=f"{setting_sentence(board)} Pairs whose mean exact savings differ by at most a factor of {MATCH}. "
        f"{INTERVALS} Differences are VISOR less the other, on paired samples; triangles mark those that hold "
        f"(permutation test over task units, Holm over {len(tests)} comparisons, level {ALPHA}).",
        columns=(
            Column(header="Method"),
            *SAVINGS,
            *(head for _, head in columns),
        ),
        rows=tuple(rows),
    )


def _matched(left: Method, right: Method) -> bool:
    costs = [saving_cell(method, "exact").number for method in (left, right)]
    if any(cost is None or cost <= 0 for cost in costs):
        return False
    low, high = sorted(cost for cost in costs if cost is not None)
    return high / low <= MATCH


def _scores(method: Method, columns: list, *, rule: bool = False) -> Row:
    savings = [saving_cell(method, "paper"), saving_cell(method, "exact")]
    return plain_row([method_cell(method), *savings, *(score_cell(c.score(method)) for c, _ in columns)], rule=rule)
