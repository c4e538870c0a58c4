"""The paper's own tables, as printed, with the averages that do not follow from their cells footnoted."""

from visor_reports.names import benchmark_label
from visor_reports.paper import PrintedRow, disagreements, printed_table
from visor_reports.paper.printed import EASY, HARD, TITLES
from visor_reports.table import EMPTY, Cell, Column, Kind, Row, Table
from visor_reports.tables.scoring import plain_row

SOURCE = "A. Bulat et al., VISion On Request, CVPR 2026, arXiv:2603.23495"

_SAVINGS = ("avg_flops_saving", "flops_saving")
_MULTI_IMAGE = {"muirbench": "MUIRBench", "blink": "BLINK", "mmiu": "MMIU"}


def paper_tables() -> list[Table]:
    """All transcribed tables; nothing in them was measured here."""
    return [paper_table(name) for name in TITLES]


def paper_table(name: str) -> Table:
    """One transcribed table."""
    rows = printed_table(name)
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    ordered = [key for key in (*EASY, "avg_easy", *HARD, "avg_hard", *_MULTI_IMAGE) if key in keys]
    ordered += [key for key in keys if key not in ordered]
    labels = [label for label in ("vision_encoder", "quantity") if any(getattr(row, label) for row in rows)]
    return Table(
        name=f"printed-{name.replace('_', '-')}",
        title=f"Printed in the paper: {TITLES[name]}",
        caption=f"{SOURCE}. Nothing here was measured by this project. Savings are the paper's (nominal).",
        columns=(
            Column(header="Method"),
            *(Column(header=label.replace("_", " ")) for label in labels),
            *map(_column, ordered),
        ),
        rows=tuple(_row(row, labels, ordered) for row in rows),
    )


def _column(key: str) -> Column:
    if key in _SAVINGS:
        return Column(header="Saving", kind=Kind.SAVING, key=key)
    if key == "training_data_percent":
        return Column(header="Data", kind=Kind.PERCENT, key=key)
    span = "Easy" if key in (*EASY, "avg_easy") else "Hard" if key in (*HARD, "avg_hard") else ""
    header = "Avg." if key.startswith("avg_") else _MULTI_IMAGE.get(key, benchmark_label(key))
    return Column(header=header, kind=Kind.SCORE, span=span, key=key)


def _row(row: PrintedRow, labels: list[str], keys: list[str]) -> Row:
    wrong = disagreements(row)
    saving = row.quantity == "flops_saving"
    cells = [
        EMPTY
        if key not in row.values
        else Cell(
            value=row.values[key],
            kind=Kind.SAVING if saving else None,
            notes=_notes(wrong, key),
            digits=row.digits[key],
        )
        for key in keys
    ]
    told = [Cell(value=getattr(row, label).replace("flops_saving", "saving")) for label in labels]
    return plain_row([Cell(value=row.method), *told, *cells], printed=True)


def _notes(wrong: dict[str, str], key: str) -> tuple[str, ...]:
    return (wrong[key],) if key in wrong else ()
