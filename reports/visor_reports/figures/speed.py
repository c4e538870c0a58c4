"""Does the clock agree with the FLOPs: measured speed-up over predicted speed-up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import SubFigure

from visor_eval.analysis import Interval
from visor_reports import style
from visor_reports.figures.canvas import legend_below, legend_rows, log_ticks, new_figure


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One method in one setting.

    Attributes:
        method: the method, or "visor [1, 4]".
        predicted: dense FLOPs / method FLOPs, causal half of attention.
        realised: dense time / method time, measured in one process, with its interval.
    """

    method: str
    predicted: float
    realised: Interval


def speed_figure(panels_of: Mapping[str, Sequence[Speed]], *, note: str) -> SubFigure:
    """Draw measured over predicted speed-up; the diagonal is a clock that agrees.

    Args:
        panels_of: panel title (phase, tokens) -> its points.
        note: the line below the figure.
    """
    names = sorted({one.method for points in panels_of.values() for one in points}, key=style.order)
    looks = style.method_styles(names)
    across = min(len(panels_of), 3)
    down = -(-len(panels_of) // across)
    figure = new_figure(height=0.5 + 2.7 * down + legend_rows(len(names)), note=note)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    everything = [
        end for points in panels_of.values() for one in points for end in (one.predicted, one.realised.estimate)
    ]
    ends = np.array([min([0.9, *everything]) * 0.88, max([2.0, *everything]) * 1.15])
    for axes, (title, points) in zip(panels, panels_of.items(), strict=False):
        axes.fill_between(ends, 0.9 * ends, ends / 0.9, color=style.MUTED, alpha=0.13, linewidth=0)
        axes.plot(ends, ends, color=style.MUTED, linewidth=0.9)
        for one in sorted(points, key=lambda each: style.order(each.method)):
            look = looks[one.method]
            axes.plot(
                [one.predicted] * 2, [one.realised.low, one.realised.high], color=look.colour, linewidth=0.9, alpha=0.6
            )
            axes.plot(one.predicted, one.realised.estimate, linestyle="none", label=one.method, **look.points(6))
        axes.set_title(title)
        axes.set_xlabel("speed-up predicted from FLOPs")
        axes.set_ylabel("speed-up measured")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            log_ticks(axis, suffix="x")
    for axes in panels[len(panels_of) :]:
        axes.set_visible(False)
    legend_below(figure, panels)
    return figure
