"""Every figure that a study has the data for, written to a folder."""

from collections.abc import Iterator
from pathlib import Path

from visor_reports import style
from visor_reports.figures.canvas import write_figure
from visor_reports.figures.drawing import Drawing, Sketch
from visor_reports.figures.of_bench import benches
from visor_reports.figures.of_cka import similarity
from visor_reports.figures.of_costs import costs
from visor_reports.figures.of_runs import keep_ratio, pareto, routers
from visor_reports.figures.of_sweeps import sweeps
from visor_reports.provenance import provenance_lines
from visor_reports.study import Board, Study
from visor_reports.table import Absent


def draw_figures(study: Study, folder: Path) -> list[Drawing]:
    """Draw what can be drawn; what lacks its data is listed with the reason.

    Args:
        study: what was read.
        folder: one subfolder per board is made in it, ``all`` for figures of the whole study. Every file carries the
            provenance in its metadata.
    """
    drawings = []
    with style.styled():
        for board, sketch in _sketches(study):
            if isinstance(sketch, Absent):
                drawings.append(Drawing(board=board, item=sketch))
                continue
            picture = write_figure(
                sketch.draw(sketch.caption),
                folder / (board.slug if board else "all"),
                sketch.name,
                title=sketch.title,
                caption=sketch.caption,
                origin="; ".join(f"{key}: {value}" for key, value in provenance_lines(study, board)),
            )
            drawings.append(Drawing(board=board, item=picture))
    return drawings


def _sketches(study: Study) -> Iterator[tuple[Board | None, Sketch | Absent]]:
    for board in study.boards:
        for sketch in (pareto(board), *sweeps(board), *routers(board), keep_ratio(board)):
            yield board, sketch
    yield None, costs()
    for sketch in (*similarity(study), *benches(study)):
        yield None, sketch
