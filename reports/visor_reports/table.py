"""A table as data: written once, rendered as Markdown, LaTeX, CSV or HTML.

Cells hold numbers, not text, so that a renderer can round, sort and escape in its own way. A cell without a value is
empty in every rendering: nothing is ever guessed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from visor_eval.analysis import Interval


class Kind(StrEnum):
    """What a column's numbers are, and so how they are written."""

    TEXT = "text"
    SCORE = "score"  # 0..100, one digit
    SAVING = "saving"  # a factor, "5.70x"
    DIFFERENCE = "difference"  # signed, one digit
    COUNT = "count"  # an integer
    NUMBER = "number"  # three significant digits
    PERCENT = "percent"  # 0..100, with its sign
    PROBABILITY = "probability"  # a p-value


class Rank(StrEnum):
    """Place within a column."""

    BEST = "best"
    SECOND = "second"


class Change(StrEnum):
    """A difference from the reference row that holds on paired samples after correction."""

    BETTER = "better"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column."""

    header: str
    kind: Kind = Kind.TEXT
    span: str = ""  # heading over neighbouring columns that share it, e.g. "Easy"
    key: str = ""  # name in CSV and HTML; default: the header


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        value: a number, a text, or None for an empty cell.
        interval: its 95 % interval, where it has one.
        rank: best or second best of its column.
        change: differs from the reference, tested.
        notes: footnotes, as plain sentences; equal sentences share a number.
    """

    value: float | str | None = None
    interval: Interval | None = None
    rank: Rank | None = None
    change: Change | None = None
    notes: tuple[str, ...] = ()
    kind: Kind | None = None  # where it differs from its column's
    digits: int | None = None  # after the point, where it is not its kind's: what others print keeps their digits

    def kind_in(self, column: Column) -> Kind:
        """What its number is."""
        return self.kind or column.kind

    @property
    def number(self) -> float | None:
        """The value if it is a number that can be compared."""
        value = self.value
        if isinstance(value, (int, float)) and not math.isnan(value):
            return float(value)
        return None


EMPTY = Cell()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        cells: one per column.
        printed: whether its numbers are what a paper prints, not measured here.
        rule: whether a line stands above it.
    """

    cells: tuple[Cell, ...]
    printed: bool = False
    rule: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        name: file name without ending, and LaTeX label: lower case letters, digits, dashes.
        title: one line.
        caption: what a reader must know: suite, accounting, intervals, marks.
        columns: left to right.
        rows: top to bottom, as many cells as columns each.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        """Reject ragged rows."""
        for number, row in enumerate(self.rows, 1):
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.name}, row {number}: {len(row.cells)} cells for {len(self.columns)} columns")

    @property
    def notes(self) -> tuple[str, ...]:
        """All footnotes, each once, in reading order; a note's number is its place here, from 1."""
        return tuple(dict.fromkeys(note for row in self.rows for cell in row.cells for note in cell.notes))


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A table that cannot be made from what was read: left out, and listed as such."""

    name: str
    reason: str


def score_cell(interval: Interval | None, **marks: object) -> Cell:
    """A cell with a measured number and its interval; empty without one."""
    if interval is None or math.isnan(interval.estimate):
        return EMPTY
    return Cell(value=interval.estimate, interval=interval, **marks)  # type: ignore[arg-type]


def ranked(rows: Sequence[Row], columns: Sequence[Column], *, lowest: frozenset[str] = frozenset()) -> tuple[Row, ...]:
    """Mark the best and the second best number of each numeric column among rows that were measured here.

    Equal printed numbers share a place. A column with fewer than three numbers gets no marks.

    Args:
        rows: the rows; printed ones are not ranked.
        columns: their columns; text and counts are not ranked.
        lowest: keys or headers of the columns where less is better.
    """
    marked = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        if column.kind in (Kind.TEXT, Kind.COUNT, Kind.PROBABILITY):
            continue
        digits = 2 if column.kind is Kind.SAVING else 1
        sign = -1.0 if (column.key or column.header) in lowest else 1.0
        numbers = [None if row.printed else row.cells[index].number for row in rows]
        rounded = [None if number is None else sign * round(number, digits) for number in numbers]
        places = sorted({number for number in rounded if number is not None}, reverse=True)
        if sum(number is not None for number in rounded) < 3 or len(places) < 2:
            continue
        for row, number in enumerate(rounded):
            if number == places[0]:
                marked[row][index] = replace(marked[row][index], rank=Rank.BEST)
            elif number == places[1]:
                marked[row][index] = replace(marked[row][index], rank=Rank.SECOND)
    return tuple(replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True))


@dataclass(frozen=True, kw_only=True)
class Style:
    """How numbers are written; the same in every rendering except for the signs."""

    minus: str = "-"
    times: str = "x"
    dash: str = " - "  # between the ends of an interval

    def cell(self, cell: Cell, column: Column) -> str:
        """A cell's value in its form; empty for an empty cell."""
        return self.number(cell.value, cell.kind_in(column), cell.digits)

    def ends(self, cell: Cell, column: Column) -> str:
        """Both ends of a cell's interval, without unit; empty without one, and where both ends read like the number."""
        interval = cell.interval
        if interval is None or math.isnan(interval.low) or math.isnan(interval.high):
            return ""
        low, high = (self.number(end, cell.kind_in(column), cell.digits) for end in (interval.low, interval.high))
        if low == high == self.cell(cell, column):
            return ""
        return f"{low.removesuffix(self.times)}{self.dash}{high.removesuffix(self.times)}"

    def number(self, value: float | str | None, kind: Kind, digits: int | None = None) -> str:
        """A value in its kind's form; empty for None and NaN."""
        if value is None or isinstance(value, str):
            return value or ""
        if math.isnan(value):
            return ""
        if math.isinf(value):
            return ("" if value > 0 else self.minus) + "inf"
        return self._signed(value, kind, {Kind.SAVING: 2, Kind.COUNT: 0}.get(kind, 1) if digits is None else digits)

    def _signed(self, value: float, kind: Kind, digits: int) -> str:
        if kind is Kind.NUMBER:
            text = f"{abs(value):.3g}" if abs(value) < 1000 else f"{abs(value):.0f}"
        elif kind is Kind.PROBABILITY:
            text = "< 0.001" if value < 0.001 else f"{value:.3f}"
        elif kind is Kind.PERCENT:
            text = f"{abs(value):.{0 if float(value).is_integer() else 1}f} %"
        else:
            text = f"{abs(value):.{digits}f}"
        if kind is Kind.SAVING:
            text += self.times
        negative = value < 0 and text.strip("0.") != ""
        if kind is Kind.DIFFERENCE:
            return (self.minus if negative else "+") + text if text.strip("0.") else text
        return (self.minus if negative else "") + text
