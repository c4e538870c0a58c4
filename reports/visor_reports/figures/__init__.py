"""The report's figures."""

from visor_reports.figures.canvas import Picture
from visor_reports.figures.draw import draw_figures
from visor_reports.figures.drawing import Drawing

__all__ = ["Drawing", "Picture", "draw_figures"]
