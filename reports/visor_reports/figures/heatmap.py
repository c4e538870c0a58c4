"""A labelled grid of numbers: the common form of the configuration, assignment and similarity figures."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex

from visor_reports import style

GAP = 0.35  # between groups of columns, in cells


def heatmap(
    axes: Axes,
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    groups: Sequence[tuple[str, int]] = (),
    low: float,
    high: float,
    text: Callable[[float], str] | None = None,
    size: float = 7.0,
    lines: bool = True,
) -> QuadMesh:
    """Draw [rows, columns] as coloured cells; NaN stays an empty cell.

    Args:
        axes: where.
        values: [rows, columns].
        rows: labels, top to bottom.
        columns: labels, left to right.
        groups: (name, number of columns) from left to right, set apart by a gap; none: one block.
        low: value of the lightest colour.
        high: value of the darkest colour.
        text: writes a cell's number; None: no numbers.
        size: of the cells' text, points.
        lines: part the cells by thin lines; without them the cells are one small bitmap.

    Returns:
        What a colour bar is made from.
    """
    blocks = list(groups) or [("", values.shape[1])]
    if sum(count for _, count in blocks) != values.shape[1]:
        raise ValueError(f"groups of {[count for _, count in blocks]} columns for {values.shape[1]} columns")
    shade = style.shades().with_extremes(bad="none")
    mesh, centres, start, left = None, [], 0, 0.0
    for name, count in blocks:
        edges = left + np.arange(count + 1)
        block = np.ma.masked_invalid(values[:, start : start + count])
        mesh = axes.pcolormesh(
            edges,
            np.arange(len(rows) + 1),
            block,
            cmap=shade,
            vmin=low,
            vmax=high,
            edgecolors=style.PAPER if lines else "none",
            linewidth=0.8 if lines else 0.0,
            rasterized=not lines,
        )
        centres += list(edges[:-1] + 0.5)
        if name:
            axes.text(left, -0.25, name, fontsize=8, fontweight="bold", va="bottom", ha="left")
        start, left = start + count, left + count + GAP
    if text is not None:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value) and (label := text(float(value))):
                ground = to_hex(shade((value - low) / (high - low) if high > low else 1.0))
                axes.text(
                    centres[column],
                    row + 0.52,
                    label,
                    ha="center",
                    va="center",
                    fontsize=size,
                    color=style.text_on(ground),
                )
    axes.set_xticks(centres, columns, rotation=38, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_ylim(len(rows), 0)
    axes.set_xlim(0, left - GAP)
    axes.grid(visible=False)
    axes.tick_params(length=0, pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
    assert mesh is not None
    return mesh


def colour_bar(axes: Axes, mesh: QuadMesh, label: str) -> None:
    """A slim colour bar to the right of ``axes``."""
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(mesh, ax=axes, fraction=0.028, pad=0.015, aspect=32)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]
    bar.set_label(label, fontsize=8)
