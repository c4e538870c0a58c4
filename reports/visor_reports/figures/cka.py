"""How vision features evolve over the layers: linear CKA between their states (figure 3 of the paper)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import SubFigure

from visor_reports import style
from visor_reports.figures.canvas import new_figure
from visor_reports.figures.heatmap import colour_bar, heatmap


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve with its interval, all [points]."""

    estimate: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def cka_heatmaps(panels_of: Mapping[str, np.ndarray], states: Sequence[str], *, note: str) -> SubFigure:
    """Mean CKA of every pair of states.

    Args:
        panels_of: panel title (model, group) -> [states, states], 0..1.
        states: names of the states: "0" before the first layer, then the layers from 1.
        note: the line below the figure.
    """
    across = min(2, len(panels_of))
    down = -(-len(panels_of) // across)
    figure = new_figure(height=0.5 + 3.2 * down, note=note)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    low = float(np.floor(10 * min(np.nanmin(values) for values in panels_of.values())) / 10)
    mesh = None
    for axes, (title, values) in zip(panels, panels_of.items(), strict=False):
        mesh = heatmap(axes, values, rows=states, columns=states, low=min(low, 0.9), high=1.0, lines=False)
        axes.set_title(title)
        axes.set_aspect("equal")
        shown = range(0, len(states), 3)
        axes.set_xticks([index + 0.5 for index in shown], [states[index] for index in shown], rotation=0, ha="center")
        axes.set_yticks([index + 0.5 for index in shown], [states[index] for index in shown])
    for axes in panels[len(panels_of) :]:
        axes.set_visible(False)
    for axes in panels[::across]:
        axes.set_ylabel("after layer")
    assert mesh is not None
    for axes in panels[across - 1 : len(panels_of) : across]:
        colour_bar(axes, mesh, "linear CKA")
    figure.supxlabel("after layer", fontsize=8.5)
    return figure


def cka_curves(
    panels_of: Mapping[str, Mapping[str, Band]], layers: Sequence[int], *, labels: Sequence[str], note: str
) -> SubFigure:
    """CKA over depth, group against group.

    Args:
        panels_of: panel title -> line name -> curve; row by row, as many panels in a row as there are ``labels``.
        layers: the layers on the horizontal axis.
        labels: what each column of panels shows, for its vertical axes.
        note: the line below the figure.
    """
    across = len(labels)
    down = -(-len(panels_of) // across)
    figure = new_figure(height=0.5 + 2.5 * down, note=note)
    panels = figure.subplots(down, across, sharex=True, sharey="col", squeeze=False).ravel()
    for place, (axes, (title, curves)) in enumerate(zip(panels, panels_of.items(), strict=True)):
        for number, (name, curve) in enumerate(curves.items()):
            colour, dash, marker = _LINES[number % len(_LINES)]
            axes.fill_between(layers, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(layers, curve.estimate, color=colour, linestyle=dash, marker=marker, markersize=3.5, label=name)
        axes.set_title(title)
        axes.set_ylabel(labels[place % across])
    panels[0].legend(loc="best")
    figure.supxlabel("layer", fontsize=8.5)
    return figure


_LINES = ((style.BLUE, "-", "o"), (style.RED, "--", "s"), (style.GREEN, "-.", "^"), (style.OCHRE, ":", "D"))
