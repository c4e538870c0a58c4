"""Who gets which configuration: the router's choices (figure S2) and the number of layers of the oracle (figure S4)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import SubFigure

from visor_reports import style
from visor_reports.figures.canvas import new_figure
from visor_reports.figures.heatmap import colour_bar, heatmap
from visor_reports.names import benchmark_label, configuration_label

Layers = tuple[int, ...]


def router_assignments(
    counts: Mapping[str, Mapping[Layers, int]],
    groups: Mapping[str, Sequence[str]],
    configurations: Sequence[Layers],
    *,
    note: str,
) -> SubFigure:
    """Figure S2: share of each dataset's samples that the router sends to each configuration.

    Args:
        counts: task -> configuration -> samples.
        groups: group -> its tasks.
        configurations: the rows, top to bottom; those never chosen included.
        note: the line below the figure.
    """
    tasks = [task for members in groups.values() for task in members]
    table = np.array([[counts[task].get(layers, 0) for task in tasks] for layers in configurations], dtype=float)
    share = 100 * table / np.maximum(table.sum(axis=0), 1)
    layers = (np.array([len(one) for one in configurations])[:, None] * share).sum(axis=0) / 100
    figure = new_figure(height=2.1 + 0.225 * len(configurations), note=note)
    axes = figure.subplots()
    mesh = heatmap(
        axes,
        share,
        rows=[configuration_label(one) for one in configurations],
        columns=[f"{benchmark_label(task)}  ({mean:.1f})" for task, mean in zip(tasks, layers, strict=True)],
        groups=[(group, len(members)) for group, members in groups.items()],
        low=0.0,
        high=100.0,
        text=lambda value: f"{value:.0f}" if value >= 0.5 else "<1" if value > 0 else "",
    )
    axes.set_ylabel("layers that process vision tokens")
    axes.set_xlabel("dataset (mean number of layers)", labelpad=2)
    colour_bar(axes, mesh, "% of the dataset's samples")
    return figure


def layer_distribution(
    choosers: Mapping[str, Mapping[str, Mapping[int, int]]], groups: Mapping[str, Sequence[str]], *, note: str
) -> SubFigure:
    """Figure S4: how many layers each dataset's samples get, by whoever chooses.

    Args:
        choosers: panel title ("oracle", "router") -> task -> number of layers -> samples.
        groups: group -> its tasks.
        note: the line below the figure.
    """
    steps = sorted({step for tasks in choosers.values() for counts in tasks.values() for step in counts})
    colours = dict(zip(steps, style.layer_colours(len(steps)), strict=True))
    places, labels, place = [], [], 0.0
    for members in groups.values():
        for task in members:
            places.append(place)
            labels.append(task)
            place += 1.0
        place += 0.5
    figure = new_figure(height=1.4 + 0.24 * len(labels), note=note)
    panels = figure.subplots(1, len(choosers), sharey=True, squeeze=False)[0]
    for axes, (title, tasks) in zip(panels, choosers.items(), strict=True):
        for where, task in zip(places, labels, strict=True):
            counts = tasks[task]
            total, left = max(sum(counts.values()), 1), 0.0
            for step in steps:
                width = 100 * counts.get(step, 0) / total
                if width:
                    axes.barh(
                        where, width, left=left, height=0.78, color=colours[step], edgecolor=style.PAPER, linewidth=0.8
                    )
                if width >= 7:
                    axes.text(
                        left + width / 2,
                        where + 0.02,
                        f"{width:.0f}",
                        ha="center",
                        va="center",
                        fontsize=6.8,
                        color=style.text_on(colours[step]),
                    )
                left += width
            mean = sum(step * count for step, count in counts.items()) / total
            axes.text(102, where, f"{mean:.1f}", va="center", fontsize=7.5)
        axes.text(102, places[0] - 0.75, "mean", va="center", fontsize=7, color=style.MUTED)
        axes.set_title(title)
        axes.set_xlim(0, 100)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(places, [benchmark_label(task) for task in labels])
    panels[0].set_ylim(places[-1] + 0.6, -1.1)
    figure.supxlabel("% of the dataset's samples", fontsize=8.5)
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colours[step], label=str(step)) for step in steps]
    figure.legend(
        handles=handles,
        title="layers that process vision tokens",
        title_fontsize=8,
        loc="outside upper center",
        ncols=len(steps),
        handlelength=1.1,
        columnspacing=1.2,
    )
    return figure
