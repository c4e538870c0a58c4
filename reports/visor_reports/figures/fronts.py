"""Accuracy against cost: every method of a board, the Pareto front and its bootstrap band, group by group."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patheffects import withStroke

from visor_eval.analysis.frontier import Candidate, Front, pareto_front
from visor_reports import style
from visor_reports.figures.canvas import legend_below, legend_rows, log_ticks, new_figure


def front_figure(groups: Mapping[str, Sequence[Candidate]], *, note: str) -> SubFigure:
    """Draw score over cost with the front.

    Args:
        groups: panel title -> its methods (cost in FLOPs).
        note: the line below the figure.
    """
    names = {one.name for candidates in groups.values() for one in candidates}
    looks = style.method_styles(names)
    figure = new_figure(height=3.3 + legend_rows(len(names)), note=note)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (title, candidates) in zip(panels, groups.items(), strict=True):
        front = pareto_front(candidates)
        giga = front.budgets / 1e9
        axes.fill_between(giga, front.low, front.high, step="post", color=style.RED, alpha=0.13, linewidth=0)
        axes.step(giga, front.best, where="post", color=style.RED, linewidth=1.3, alpha=0.9)
        for one in sorted(candidates, key=lambda each: style.order(each.name)):
            look = looks[one.name]
            low, high = np.nanquantile(one.score_draws, [0.025, 0.975])
            axes.plot([one.cost / 1e9] * 2, [low, high], color=look.colour, linewidth=0.9, alpha=0.55)
            member = one.name in front.members
            place = (one.cost / 1e9, one.score)
            axes.plot(*place, linestyle="none", label=one.name, zorder=3 + member, **look.points(7.5 if member else 6))
        axes.set_title(title)
        axes.set_xlabel("executed decoder prefill, GFLOPs per sample")
        axes.set_xscale("log")
        axes.margins(x=0.09, y=0.11)
        log_ticks(axes.xaxis)
        _name_members(axes, front, candidates)
    panels[0].set_ylabel("score, 0-100")
    legend_below(figure, panels)
    return figure


def _name_members(axes: Axes, front: Front, candidates: Sequence[Candidate]) -> None:
    """Write the names of the methods on the front beside them, where there is room; the legend has them all."""
    places = {one.name: (np.log10(one.cost / 1e9), one.score) for one in candidates}
    left, right = np.log10(axes.get_xlim())
    bottom, top = axes.get_ylim()
    used: list[tuple[float, float]] = []
    for name in front.members:
        x, y = (places[name][0] - left) / (right - left), (places[name][1] - bottom) / (top - bottom)
        if any(abs(x - other[0]) < 0.24 and abs(y - other[1]) < 0.07 for other in used):
            continue
        used.append((x, y))
        side = "left" if x < 0.2 else "right" if x > 0.8 else "center"
        axes.annotate(
            name,
            (x, y),
            xycoords="axes fraction",
            xytext=({"left": -3, "right": 3}.get(side, 0), 7),
            ha=side,
            textcoords="offset points",
            fontsize=7,
            zorder=6,
            path_effects=[withStroke(linewidth=2, foreground=style.PAPER)],
        )
