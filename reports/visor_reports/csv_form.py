"""A table as CSV: one line per row, numbers unrounded, each interval's ends in columns of their own."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence

from visor_reports.table import Cell, Table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run text that begins so


def csv_text(table: Table) -> str:
    """Return the table as CSV with a header line; RFC 4180, lines end with a newline only.

    A column with intervals is followed by ``<key>_low`` and ``<key>_high``, one with marks by ``<key>_mark`` (best,
    second, better, worse). ``printed`` says whether a row's numbers are a paper's. Footnotes stand in the last column.
    """
    wide = [_extras(table, index) for index in range(len(table.columns))]
    keys = [column.key or column.header for column in table.columns]
    header: list[str] = []
    for key, column, extras in zip(keys, table.columns, wide, strict=True):
        name = key if column.key or not column.span else f"{column.span} {key}"
        header += [name, *(f"{name}_{extra}" for extra in extras)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*map(_safe, header), "printed", "notes"])
    for row in table.rows:
        line: list[str] = []
        for cell, extras in zip(row.cells, wide, strict=True):
            line += [_value(cell), *_extra_values(cell, extras)]
        notes = " ".join(dict.fromkeys(note for cell in row.cells for note in cell.notes))
        writer.writerow([*line, "yes" if row.printed else "no", _safe(notes)])
    return out.getvalue()


def _extras(table: Table, index: int) -> tuple[str, ...]:
    cells = [row.cells[index] for row in table.rows]
    interval = ("low", "high") if any(cell.interval is not None for cell in cells) else ()
    mark = ("mark",) if any(cell.rank is not None or cell.change is not None for cell in cells) else ()
    return (*interval, *mark)


def _extra_values(cell: Cell, extras: tuple[str, ...]) -> Iterator[str]:
    for extra in extras:
        if extra == "mark":
            yield " ".join(str(mark) for mark in (cell.rank, cell.change) if mark is not None)
        else:
            yield "" if cell.interval is None else _number(getattr(cell.interval, extra))


def _value(cell: Cell) -> str:
    if cell.value is None:
        return ""
    return _safe(cell.value) if isinstance(cell.value, str) else _number(cell.value)


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(round(float(value), 6))


def _safe(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    flat = " ".join(text.split())
    return f"'{flat}" if flat.startswith(_FORMULA) else flat


def metadata(table: Table, lines: Sequence[tuple[str, str]] = ()) -> str:
    """What stands beside the CSV file, as W3C's "Metadata for Tabular Data" wants it: title, caption, provenance.

    Args:
        table: the table.
        lines: the provenance block, as (name, value).
    """
    content = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": f"{table.name}.csv",
        "dc:title": table.title,
        "dc:description": table.caption,
        "notes": list(table.notes),
        "provenance": [{"name": name, "value": value} for name, value in lines],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
