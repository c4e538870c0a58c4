"""Accuracy against how much vision is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import SubFigure

from visor_eval.analysis import Interval
from visor_reports import style
from visor_reports.figures.canvas import legend_below, legend_rows, log_ticks, new_figure


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One setting of a method.

    Attributes:
        method: settings of one method are joined by a line.
        share: vision tokens x layers in which they are processed, as a share of dense (nominal), 0..1.
        score: 0..100, with its interval.
    """

    method: str
    share: float
    score: Interval


def keep_ratio_figure(groups: Mapping[str, Sequence[Kept]], *, note: str) -> SubFigure:
    """Draw score over the kept share of the work on vision tokens.

    Args:
        groups: panel title -> settings.
        note: the line below the figure.
    """
    names = sorted({one.method for members in groups.values() for one in members}, key=style.order)
    figure = new_figure(height=3.2 + legend_rows(len(names)), note=note)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (title, members) in zip(panels, groups.items(), strict=True):
        for name in names:
            points = sorted((one for one in members if one.method == name), key=lambda one: one.share)
            if not points:
                continue
            look = style.method_style(name)
            shares = [100 * one.share for one in points]
            scores = [one.score.estimate for one in points]
            errors = [
                [one.score.estimate - one.score.low for one in points],
                [one.score.high - one.score.estimate for one in points],
            ]
            axes.errorbar(shares, scores, yerr=errors, fmt="none", ecolor=look.colour, elinewidth=0.9, alpha=0.55)
            axes.plot(shares, scores, linestyle=look.dash, linewidth=1.2, label=name, **look.points())
        axes.set_title(title)
        axes.set_xlabel("vision tokens x layers kept, % of dense (nominal)")
        axes.set_xscale("log")
        axes.margins(x=0.08, y=0.1)
        log_ticks(axes.xaxis)
    panels[0].set_ylabel("score, 0-100")
    legend_below(figure, panels)
    return figure
