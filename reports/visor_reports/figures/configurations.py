"""How good every configuration is: the paper's figures S1 (relative, by dataset) and S3 (accuracy by configuration)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from visor_eval.analysis import Interval
from visor_reports import style
from visor_reports.figures.canvas import new_figure, spread
from visor_reports.figures.heatmap import colour_bar, heatmap
from visor_reports.names import benchmark_label, configuration_label

Layers = tuple[int, ...]
_READABLE_ROWS = 32  # more configurations than this are drawn without numbers


def relative_heatmap(
    scores: Mapping[Layers, Mapping[str, float]], groups: Mapping[str, Sequence[str]], *, note: str
) -> SubFigure:
    """Figure S1: score of each configuration, in percent of the best configuration of the dataset.

    Args:
        scores: configuration -> task -> score (0..100), in the order of the rows.
        groups: group -> its tasks, in the order of the columns.
        note: the line below the figure.
    """
    tasks = [task for members in groups.values() for task in members]
    values = np.array([[row.get(task, np.nan) for task in tasks] for row in scores.values()], dtype=float)
    best = np.nanmax(values, axis=0, initial=0.0)
    relative = 100 * np.divide(values, best, out=np.full(values.shape, np.nan), where=best > 0)
    many = len(scores) > _READABLE_ROWS
    figure = new_figure(height=1.9 + (0.09 if many else 0.225) * len(scores), note=note)
    axes = figure.subplots()
    mesh = heatmap(
        axes,
        relative,
        rows=[configuration_label(layers) for layers in scores],
        columns=[benchmark_label(task) for task in tasks],
        groups=[(group, len(members)) for group, members in groups.items()],
        low=float(np.floor(min(np.nanmin(relative), 80.0) / 5) * 5),
        high=100.0,
        text=None if many else lambda value: f"{value:.0f}",
    )
    if many:
        axes.tick_params(axis="y", labelsize=4.5)
    axes.set_ylabel("layers that process vision tokens")
    colour_bar(axes, mesh, "% of the dataset's best configuration")
    return figure


def configuration_scores(
    tasks: Mapping[str, Mapping[Layers, float]],
    means: Mapping[str, Mapping[Layers, Interval]],
    groups: Mapping[str, Sequence[str]],
    *,
    note: str,
) -> SubFigure:
    """Figure S3: score over configurations, cheapest first: each dataset thin, each group's mean bold with its band.

    Args:
        tasks: task -> configuration -> score (0..100).
        means: group -> configuration -> mean over the group's tasks, with its interval; configurations in order.
        groups: group -> its tasks.
        note: the line below the figure.
    """
    figure = new_figure(height=3.9, note=note)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    names = []
    for axes, (group, members) in zip(panels, groups.items(), strict=True):
        order = list(means[group])
        places = np.arange(len(order))
        ends = []
        for number, task in enumerate(members):
            line = [tasks[task].get(layers, np.nan) for layers in order]
            colour = _THIN[number % len(_THIN)]
            axes.plot(places, line, color=colour, linewidth=1.0, linestyle=_DASHES[number // len(_THIN)])
            ends.append((benchmark_label(task), line[-1], colour))
        mean = [means[group][layers] for layers in order]
        axes.fill_between(
            places, [one.low for one in mean], [one.high for one in mean], color=style.INK, alpha=0.14, linewidth=0
        )
        axes.plot(places, [one.estimate for one in mean], color=style.INK, linewidth=2.4, marker="o", markersize=3.5)
        ends.append(("mean", mean[-1].estimate, style.INK))
        axes.set_title(group)
        axes.set_xticks(
            places, [configuration_label(layers) for layers in order], rotation=60, ha="right", rotation_mode="anchor"
        )
        axes.tick_params(axis="x", labelsize=6.8)
        axes.set_xlim(-0.4, len(order) - 0.6)
        axes.grid(axis="x", visible=False)
        names.append((axes, len(order) - 1, ends))
    panels[0].set_ylabel("score, 0-100")
    panels[0].set_ylim(0, max(axes.dataLim.y1 for axes in panels) * 1.05)
    for each in names:
        _ends(*each)
    figure.supxlabel("layers that process vision tokens, fewest first", fontsize=8.5)
    return figure


_THIN = ("#2f78b8", "#158a74", "#a87610", "#7c63bd", "#a8557f", "#3f8fa8", "#5c7c2f", "#8a5a44")
_DASHES = ("-", "--", ":", "-.")


def _ends(axes: Axes, place: float, ends: Sequence[tuple[str, float, str]]) -> None:
    """Names at the right end of the lines, moved apart where lines end close together."""
    known = [end for end in ends if not np.isnan(end[1])]
    for (label, value, colour), height in zip(
        known, spread([end[1] for end in known], 0.05 * axes.get_ylim()[1]), strict=True
    ):
        axes.annotate(
            label,
            (place, value),
            xytext=(place + 0.045 * (place + 1), height),
            fontsize=7,
            color=colour,
            va="center",
            fontweight="bold" if label == "mean" else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.6, "shrinkA": 0, "shrinkB": 1},
        )
