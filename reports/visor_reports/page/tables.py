"""A table as HTML that can be sorted, read aloud and scrolled on a phone."""

import math
from itertools import groupby

from visor_reports import style
from visor_reports.page.markup import element, text
from visor_reports.table import Cell, Change, Column, Kind, Rank, Row, Style, Table

_STYLE = Style(minus="\N{MINUS SIGN}", times="\N{MULTIPLICATION SIGN}", dash="\N{EN DASH}")

_CHANGES = {
    Change.BETTER: ("\N{BLACK UP-POINTING SMALL TRIANGLE}", "better than the reference"),
    Change.WORSE: ("\N{BLACK DOWN-POINTING SMALL TRIANGLE}", "worse than the reference"),
}


def table_html(table: Table, *, anchor: str, methods: frozenset[str] = frozenset(), opened: bool = False) -> str:
    """A table with title, caption and footnotes, as a block that folds.

    Args:
        table: what to show.
        anchor: id of the block, unique in the page.
        methods: names that get their colour where they stand alone in a cell.
        opened: whether it is unfolded at first.
    """
    notes = {note: number for number, note in enumerate(table.notes, 1)}
    head = _spans(table) + element("tr", "".join(_header(column) for column in table.columns))
    body = "".join(_row(row, table.columns, notes, methods, anchor) for row in table.rows)
    grid = element(
        "table",
        element("caption", text(table.title), class_="unseen") + element("thead", head) + element("tbody", body),
    )
    foot = "".join(element("li", text(note), id=f"{anchor}-note-{number}") for note, number in notes.items())
    return element(
        "details",
        element("summary", element("h3", text(table.title)))
        + element("div", grid, class_="scroll", tabindex=0, role="region", aria_label=table.title)
        + element("p", text(table.caption), class_="caption", id=f"{anchor}-caption")
        + (element("ol", foot, class_="notes") if foot else ""),
        id=anchor,
        class_="table",
        open=opened,
    )


def dot_colour(method: str) -> str:
    """The colour of a method's dot, as CSS; dense has the page's ink, light or dark."""
    colour = style.method_style(method).colour
    return "var(--ink)" if colour == style.INK else colour


def _spans(table: Table) -> str:
    if not any(column.span for column in table.columns):
        return ""
    cells = []
    for span, members in groupby(table.columns, key=lambda column: column.span):
        count = len(list(members))
        cells.append(
            element("th", text(span), colspan=count, scope="colgroup") if span else element("td", colspan=count)
        )
    return element("tr", "".join(cells), class_="spans")


def _header(column: Column) -> str:
    button = element("button", text(column.header), type="button")
    kind = "text" if column.kind is Kind.TEXT else "number"
    return element("th", button, scope="col", aria_sort="none", class_=kind, data_kind=kind)


def _row(row: Row, columns: tuple[Column, ...], notes: dict[str, int], methods: frozenset[str], anchor: str) -> str:
    cells = [
        _cell(cell, column, notes, methods, anchor, first=index == 0)
        for index, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
    ]
    names = [name for name, on in (("printed", row.printed), ("rule", row.rule)) if on]
    return element("tr", "".join(cells), class_=" ".join(names) or None)


def _cell(
    cell: Cell, column: Column, notes: dict[str, int], methods: frozenset[str], anchor: str, *, first: bool
) -> str:
    written = text(_STYLE.cell(cell, column))
    if cell.rank is Rank.BEST:
        written = element("strong", written)
    elif cell.rank is Rank.SECOND:
        written = element("span", written, class_="second")
    if isinstance(cell.value, str) and cell.value in methods:
        written = element("span", "", class_="dot", style=f"--dot:{dot_colour(cell.value)}") + written
    if cell.change is not None:
        sign, meaning = _CHANGES[cell.change]
        written += element("span", sign, class_=str(cell.change), title=meaning, role="img", aria_label=meaning)
    for note in cell.notes:
        number = notes[note]
        written += element("sup", element("a", str(number), href=f"#{anchor}-note-{number}"))
    if interval := _STYLE.ends(cell, column):
        written += element("small", text(interval))
    number = cell.number
    finite = number if number is None or math.isfinite(number) else math.copysign(1e308, number)
    key = cell.value if isinstance(cell.value, str) else finite
    align = "text" if column.kind is Kind.TEXT else "number"
    return element("th" if first else "td", written, scope="row" if first else None, class_=align, data_sort=key)
