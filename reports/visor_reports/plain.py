"""A table as plain text for a terminal: aligned columns, spans above their headers, footnotes below."""

import textwrap
from collections.abc import Collection

from visor_reports.table import Change, Kind, Style, Table

STYLE = Style()
WIDTH = 100  # at least, for captions
CHANGES = {Change.BETTER: " +", Change.WORSE: " -"}


def plain(table: Table, *, intervals: Collection[Kind] = tuple(Kind)) -> str:
    """Return title, caption, columns and footnotes, without a final newline; intervals stand beside their numbers.

    Args:
        table: what to show.
        intervals: kinds of numbers whose intervals are shown.
    """
    notes = table.notes
    body = []
    for row in table.rows:
        cells = []
        for cell, column in zip(row.cells, table.columns, strict=True):
            ends = STYLE.ends(cell, column) if cell.kind_in(column) in intervals else ""
            change = CHANGES[cell.change] if cell.change else ""
            marks = "".join(f" ^{notes.index(note) + 1}" for note in dict.fromkeys(cell.notes))
            cells.append(STYLE.cell(cell, column) + (f" ({ends})" if ends else "") + change + marks)
        body.append(cells)
    spans = [column.span for column in table.columns]
    names = [column.header for column in table.columns]
    widths = [max(len(row[index]) for row in [names, *body]) for index in range(len(names))]
    sides = ["<" if column.kind is Kind.TEXT else ">" for column in table.columns]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in [names, ["-" * width for width in widths], *body]
    ]
    head = [_spans(spans, widths)] if any(spans) else []
    told = [f"^{number} {note}" for number, note in enumerate(notes, 1)]
    caption = textwrap.wrap(table.caption, max(WIDTH, len(lines[1])))
    return "\n".join([table.title, *caption, *head, *lines, *told])


def _spans(spans: list[str], widths: list[int]) -> str:
    """Each span over the columns that share it."""
    line, start = "", 0
    while start < len(spans):
        end = start + 1
        while spans[start] and end < len(spans) and spans[end] == spans[start]:
            end += 1
        width = sum(widths[start:end]) + 2 * (end - start - 1)
        line += (f" {spans[start]} ".center(width, "-") if spans[start] else " " * width) + "  "
        start = end
    return line.rstrip()
