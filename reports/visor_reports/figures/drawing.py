"""A figure on its way from a study to disk."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import SubFigure

from visor_reports.figures.canvas import Picture
from visor_reports.study import Board
from visor_reports.table import Absent


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A figure that can be drawn.

    Attributes:
        name: file name without ending, unique within its board.
        title: one line.
        caption: suite, n, units, intervals; stands below the figure.
        draw: makes it; takes the note that is set below it.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[str], SubFigure]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of the report, or why it is not there.

    Attributes:
        board: whose runs it shows; None: the whole study.
        item: the figure, or the reason.
    """

    board: Board | None
    item: Picture | Absent
