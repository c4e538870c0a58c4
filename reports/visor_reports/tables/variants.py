"""Tables over what a checkpoint was trained on or sees through: data size (S6), FastVLM (S7), several images (S8)."""

from collections.abc import Sequence

from visor_eval.analysis.scores import benchmark
from visor_reports.names import benchmark_short
from visor_reports.paper import printed_table
from visor_reports.study import Board
from visor_reports.table import EMPTY, Absent, Cell, Column, Kind, Row, Table, ranked
from visor_reports.tables.scoring import (
    INTERVALS,
    SAVINGS,
    AgainstDense,
    ScoreColumn,
    caption,
    is_papers_suite,
    method_cell,
    own_line,
    plain_row,
    printed_line,
    score_columns,
    tested_row,
)

MULTI_IMAGE = ("muirbench", "blink", "mmiu")


def training_data_size(board: Board, tests: AgainstDense) -> Table | Absent:
    """Scores by the share of the training data; only weights of which the user said it (S6)."""
    name = f"training-data-{board.slug}"
    methods = [method for method in board.methods if method.training_data is not None]
    if not methods:
        return Absent(name=name, reason="no run's share of the training data is known; say it with --training-data")
    columns = score_columns(board)
    rows = [
        plain_row([method_cell(m), Cell(value=m.training_data, kind=Kind.PERCENT), *tested_row(m, columns, tests)])
        for m in sorted(methods, key=lambda method: (method.parts, -(method.training_data or 0)))
    ]
    rows += _printed(board, {method.backbone for method in methods if method.variant == "visor"}, columns)
    return Table(
        name=name,
        title="Size of the training data",
        caption=caption(board, "Percent of the training set, as stated by the user.", INTERVALS, tests.sentence),
        columns=(Column(header="Method"), Column(header="Data", kind=Kind.PERCENT), *(head for _, head in columns)),
        rows=tuple(rows),
    )


def _printed(board: Board, backbones: set[str | None], columns: Sequence[tuple[ScoreColumn, Column]]) -> list[Row]:
    """Table S6, where the paper prints it for these backbones."""
    rows = []
    for row in printed_table("s6") if is_papers_suite(board) else ():
        if row.backbone in backbones:
            keys = [benchmark(column.name) if column.kind == "task" else "" for column, _ in columns]
            name = Cell(value=f"{row.method}, paper", notes=("Printed in the VISOR paper, Table S6.",))
            share = Cell(value=row.values["training_data_percent"])
            rows.append(plain_row([name, share, *(Cell(value=row.values.get(key)) for key in keys)], printed=True))
    return rows


def fastvlm(board: Board, tests: AgainstDense) -> Table | Absent:
    """Scores and savings with FastVLM's vision encoder beside SigLIP's (S7)."""
    name = f"fastvlm-{board.slug}"
    fast = [method for method in board.methods if (method.backbone or "").startswith("fastvlm")]
    if not fast:
        return Absent(name=name, reason="no run on a FastVLM backbone")
    usual = [m for m in board.methods if m.is_dense and (m.backbone or "").startswith("llava-ov")]
    methods = [*usual, *fast]
    columns = score_columns(board)
    rows: list[Row] = []
    for method in methods:
        lines = filter(None, (own_line(method, columns, tests), printed_line(board, method, columns)))
        rows += [line.row([Cell(value=method.backbone)], line.scores, line.savings) for line in lines]
    every = (
        Column(header="Method"),
        Column(header="Backbone"),
        *(head for _, head in columns),
        *SAVINGS,
    )
    return Table(
        name=name,
        title="FastVLM",
        caption=caption(
            board, "Savings are against the dense model on the same vision encoder.", INTERVALS, tests.sentence
        ),
        columns=every,
        rows=ranked(rows, every),
    )


def multi_image(board: Board, tests: AgainstDense) -> Table | Absent:
    """Scores on the benchmarks with several images per question (S8)."""
    name = f"multi-image-{board.slug}"
    tasks = [task for task in board.tasks if benchmark(task) in MULTI_IMAGE]
    if not tasks:
        return Absent(name=name, reason=f"no run over {', '.join(MULTI_IMAGE)}")
    columns = [
        (ScoreColumn("task", task), Column(header=benchmark_short(task), kind=Kind.SCORE, key=task)) for task in tasks
    ]
    rows: list[Row] = []
    for method in board.methods:
        if not any(task in method.tasks for task in tasks):
            continue
        rows.append(plain_row([method_cell(method), *tested_row(method, columns, tests)]))
        for row in printed_table("s8") if is_papers_suite(board) and not method.is_imported else ():
            if (row.ours, row.backbone) == (method.variant, method.backbone):
                note = ("Printed in the VISOR paper, Table S8.",)
                cells = [
                    Cell(value=value) if (value := row.values.get(benchmark(t))) is not None else EMPTY for t in tasks
                ]
                rows.append(plain_row([Cell(value=f"{method.name}, paper", notes=note), *cells], printed=True))
    return Table(
        name=name,
        title="Several images",
        caption=caption(board, INTERVALS, tests.sentence),
        columns=(Column(header="Method"), *(head for _, head in columns)),
        rows=tuple(rows),
    )
