"""A table as GitHub Markdown: caption, pipe table, footnotes, provenance."""

from collections.abc import Sequence

from visor_reports.table import Cell, Change, Column, Kind, Rank, Row, Style, Table

STYLE = Style(minus="\u2212", times="\u00d7", dash="\u2013")
CHANGES = {Change.BETTER: "\u25b2", Change.WORSE: "\u25bc"}

_SPECIAL = "\\`*_[]|~$"
_LEADING = "#+-!="  # mean something at the beginning of a line only


def markdown(table: Table, lines: Sequence[tuple[str, str]] = ()) -> str:
    """Return the table with its title, caption and footnotes, ending with a newline.

    Args:
        table: what to write.
        lines: the provenance block, as (name, value).
    """
    notes = table.notes
    header = [_header(column) for column in table.columns]
    aligned = [":--" if column.kind is Kind.TEXT else "--:" for column in table.columns]
    body = [_row(table.columns, row, notes) for row in table.rows]
    rows = ["| " + " | ".join(cells) + " |" for cells in (header, aligned, *body)]
    blocks = [f"### {escape(table.title)}", escape(table.caption), "\n".join(rows)]
    if notes:
        blocks.append("\n".join(f"<sup>{number}</sup> {escape(note)}  " for number, note in enumerate(notes, 1)))
    if lines:
        blocks.append(provenance(lines))
    return "\n\n".join(block for block in blocks if block) + "\n"


def provenance(lines: Sequence[tuple[str, str]]) -> str:
    """The provenance block, folded away where Markdown is shown as HTML."""
    items = "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in lines)
    return f"<details><summary>Provenance</summary>\n\n{items}\n\n</details>"


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it show as it is, on one line."""
    flat = " ".join(text.split())
    text = "".join(_entity(character) for character in flat)
    return f"\\{text}" if text.startswith(tuple(_LEADING)) else text


def _entity(character: str) -> str:
    if character in "<>&":
        return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}[character]
    return f"\\{character}" if character in _SPECIAL else character


def _header(column: Column) -> str:
    return escape(f"{column.span}: {column.header}" if column.span and column.header else column.header or column.span)


def _row(columns: Sequence[Column], row: Row, notes: Sequence[str]) -> list[str]:
    cells = [_cell(cell, column, notes) for cell, column in zip(row.cells, columns, strict=True)]
    return [f"_{cell}_" if row.printed and cell and not cell.startswith("<") else cell for cell in cells]


def _cell(cell: Cell, column: Column, notes: Sequence[str]) -> str:
    text = escape(STYLE.cell(cell, column))
    if not text:
        return _marks(cell, notes)
    if cell.rank is Rank.BEST:
        text = f"**{text}**"
    elif cell.rank is Rank.SECOND:
        text = f"<u>{text}</u>"
    if cell.change is not None:
        text += f" {CHANGES[cell.change]}"
    text += _marks(cell, notes)
    ends = STYLE.ends(cell, column)
    return f"{text}<br><sub>{ends}</sub>" if ends else text


def _marks(cell: Cell, notes: Sequence[str]) -> str:
    numbers = ",".join(str(notes.index(note) + 1) for note in dict.fromkeys(cell.notes))
    return f"<sup>{numbers}</sup>" if numbers else ""
