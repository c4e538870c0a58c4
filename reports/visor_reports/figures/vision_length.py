"""FLOPs against vision sequence length, the paper's figure S5: dense, and every method in every setting.

Decoder prefill on logarithmic axes, one panel per backbone. A method with several settings (configurations, schedules,
factors) is one band: a thin line for each setting, the cheapest and the dearest with marks.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from visor_eval.analysis.counter import Count, CountedCost
from visor_reports import style
from visor_reports.cost_tables import Unit
from visor_reports.figures.canvas import legend_below, legend_rows, log_ticks, new_figure

NAME = "flops-vision-length"
TITLE = "FLOPs against vision sequence length"
PANEL = 2.9  # inches high
SINGLE = 4.0  # inches high, where there is one panel
LEGEND_COLUMNS = 5
MARKS = 4  # on a line

_FRONT = {
    "dense": 6.0,
    "visor": 5.5,
    "visor-tr": 5.0,
    "visor-zero": 3.0,
}  # VISOR's plan without training lies behind it

Line = list[CountedCost]  # one variant, by vision tokens


def vision_length(count: Count, unit: Unit, *, causal: bool = False) -> SubFigure:
    """Draw the figure; call within ``style.styled()``.

    Args:
        count: what was counted; at least two numbers of vision tokens make a line.
        unit: FLOPs or MACs.
        causal: count only the causal half of attention.
    """
    backbones = count.backbones
    columns = 1 if len(backbones) == 1 else 2
    rows = -(-len(backbones) // columns)
    methods = {line.method for line in count.lines}
    height = SINGLE if len(backbones) == 1 else rows * PANEL
    height += legend_rows(len(methods), LEGEND_COLUMNS)
    figure = new_figure(height=height, note=caption(count, unit, causal=causal))
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, backbone in zip(panels, backbones, strict=False):
        _panel(axes, count.of(backbone), unit, causal=causal)
        axes.set_title(backbone)
    for axes in panels[len(backbones) :]:
        axes.remove()
    for axes in panels[: len(backbones)]:
        axes.set_xlabel("vision tokens of the dense model")
    for axes in panels[: len(backbones) : columns]:
        axes.set_ylabel(f"decoder prefill, T{unit.name}")
    legend_below(figure, panels[: len(backbones)], columns=LEGEND_COLUMNS)
    return figure


def caption(count: Count, unit: Unit, *, causal: bool = False) -> str:
    """What a reader of the lone picture must know."""
    half = "only the causal half of attention" if causal else "all query-key pairs that the kernel is asked for"
    return (
        f"Closed form, no weights: decoder prefill ({unit.name}, {half}; text, cross-attention, router and LM head "
        f"included, no tower) with {count.text.prompt} text tokens, {count.text.prefix} of them before the "
        "image. Number of settings in brackets; thin lines: each of them, marks: the cheapest and the dearest. Equal "
        "costs lie on each other."
    )


def _panel(axes: Axes, variants: Mapping[str, Mapping[int, CountedCost]], unit: Unit, *, causal: bool) -> None:
    lines = [sorted(by_tokens.values(), key=lambda line: line.vision_tokens) for by_tokens in variants.values()]
    lines.sort(key=lambda line: style.order(line[0].method))
    for method, settings in groupby(lines, key=lambda line: line[0].method):
        _method(axes, method, list(settings), unit, causal=causal)
    axes.set_xscale("log")
    axes.set_yscale("log")
    log_ticks(axes.xaxis)
    log_ticks(axes.yaxis)


def _method(axes: Axes, method: str, settings: Sequence[Line], unit: Unit, *, causal: bool) -> None:
    look, front = style.method_style(method), _FRONT.get(method, 4.0)
    tokens = [line.vision_tokens for line in settings[0]]
    heights = sorted(
        ([unit.tera(line.cost.total(causal=causal)) for line in setting] for setting in settings),
        key=lambda height: height[-1],
    )
    if len(heights) > 2:
        axes.fill_between(tokens, heights[0], heights[-1], color=look.colour, alpha=0.1, linewidth=0, zorder=1)
    for height in heights[1:-1]:
        axes.plot(tokens, height, color=look.colour, linewidth=0.5, alpha=0.6, zorder=front - 0.5)
    for height in heights[:1] if len(heights) == 1 else [heights[0], heights[-1]]:
        axes.plot(
            tokens,
            height,
            label=(method if len(heights) == 1 else f"{method} ({len(heights)})") if height is heights[0] else None,
            linestyle=look.dash,
            linewidth=1.2,
            markevery=_evenly(len(tokens)),
            zorder=front,
            **look.points(4.0),
        )


def _evenly(points: int) -> list[int]:
    """Where marks stand: at most ``MARKS`` places, both ends among them."""
    marks = min(points, MARKS)
    return sorted({round(index * (points - 1) / (marks - 1)) for index in range(marks)})
