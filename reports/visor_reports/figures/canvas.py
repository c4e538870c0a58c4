"""A figure's frame and its way to disk: the same bytes for the same data."""

import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from visor_reports import style

FORMATS = ("pdf", "png", "svg")

_VARIABLES = {style.INK: "--ink", style.MUTED: "--muted", style.GRID: "--grid", style.PAPER: "--paper"}


def new_figure(width: float = style.WIDTH, height: float = 3.6, *, note: str = "") -> SubFigure:
    """An empty figure in the project's style, as the part above its note; call within ``style.styled()``.

    Args:
        width: inches.
        height: inches, the note not included.
        note: what a reader of the lone picture must know (suite, n, intervals); set small below it.
    """
    lines = textwrap.wrap(note, int(width * 19.5))
    foot = 0.07 + 0.125 * len(lines) if lines else 0.02
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05, wspace=0.03, hspace=0.03)
    figure = Figure(figsize=(width, height + foot), layout=engine)
    figure.subfigures(2, 1, height_ratios=[height, foot], hspace=0)
    above, below = figure.subfigs
    if lines:
        below.text(0.06 / width, 0.95, "\n".join(lines), fontsize=6.6, color=style.MUTED, va="top", linespacing=1.35)
    return above


def legend_below(figure: SubFigure, panels: Iterable[Axes], *, columns: int = 4) -> None:
    """One legend for all panels, each entry once, under the axes and above the note."""
    entries = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    names = sorted(entries, key=style.order)
    figure.legend(
        [entries[name] for name in names],
        names,
        loc="outside lower center",
        ncols=columns,
        handlelength=1.8,
        columnspacing=1.4,
        labelspacing=0.35,
    )


def legend_rows(names: int, columns: int = 4) -> float:
    """Inches that a legend of so many names takes."""
    return 0.08 + 0.165 * -(-names // columns)


def log_ticks(axis: Axis, *, suffix: str = "", dense: bool = False) -> None:
    """Plain numbers on a logarithmic axis, also where it spans less than a decade; call when its limits are known."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 2 else (1.0, 2.0, 5.0) if decades > 0.7 else _FINE
    axis.set_major_locator(LogLocator(subs=_FINE if dense else steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{suffix}"))
    axis.set_minor_formatter(NullFormatter())


_FINE = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def spread(positions: Sequence[float], distance: float) -> list[float]:
    """Move positions apart until neighbours are at least ``distance`` from each other, as little as possible."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    clusters: list[list[float]] = []  # [sum of (wanted place - offset within the cluster), members]
    for index in order:
        clusters.append([positions[index], 1])
        while len(clusters) > 1:
            (first, many), (last, few) = clusters[-2], clusters[-1]
            if first / many + many * distance <= last / few:
                break
            clusters[-2:] = [[first + last - few * many * distance, many + few]]
    placed = [0.0] * len(positions)
    place = iter(order)
    for total, members in clusters:
        for step in range(int(members)):
            placed[next(place)] = total / members + step * distance
    return placed


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure that was written.

    Attributes:
        name: file name without ending.
        title: one line.
        caption: what it shows: suite, n, units, intervals.
        files: ending -> path, for ``FORMATS``.
    """

    name: str
    title: str
    caption: str
    files: Mapping[str, Path]

    @property
    def svg(self) -> str:
        """The picture as SVG."""
        return self.files["svg"].read_text(encoding="utf-8")


def write_figure(drawn: SubFigure, folder: Path, name: str, *, title: str, caption: str, origin: str = "") -> Picture:
    """Write a figure as PDF, PNG and SVG; no dates inside, so that the same data give the same bytes.

    Args:
        drawn: from ``new_figure``.
        folder: created where it is missing.
        name: file name without ending.
        title: goes into the files' metadata as well.
        caption: what it shows.
        origin: provenance in one line, for the metadata.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {ending: folder / f"{name}.{ending}" for ending in FORMATS}
    figure = drawn.get_figure(root=True)
    assert figure is not None
    foot = figure.subfigs[1]
    foot.set_visible(False)  # the page says it in its own words and size
    svg = io.StringIO()
    figure.savefig(
        svg, format="svg", metadata={"Date": None, "Creator": "visor-eval", "Title": title, "Description": origin}
    )
    foot.set_visible(True)
    without_foot = cropped(svg.getvalue(), 72 * foot.bbox.height / figure.dpi)
    files["svg"].write_text(themed(without_foot), encoding="utf-8")
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")  # the layout is found; do not look for it again
    figure.set_facecolor("white")
    figure.savefig(
        files["pdf"],
        metadata={
            "CreationDate": None,
            "Creator": "visor-eval",
            "Producer": "matplotlib",
            "Title": title,
            "Subject": origin,
        },
    )
    figure.savefig(files["png"], metadata={"Software": "visor-eval", "Title": title, "Description": origin})
    return Picture(name=name, title=title, caption=caption, files=files)


def cropped(svg: str, points: float) -> str:
    """An SVG document less ``points`` at its lower end."""
    opening = re.search(r"<svg\b[^>]*>", svg)
    assert opening is not None

    def less(match: re.Match[str]) -> str:
        return f"{match[1]}{float(match[2]) - points:g}{match[3]}"

    head = re.sub(r'(\sheight=")([\d.]+)(pt")', less, opening[0])
    head = re.sub(r'(\sviewBox="0 0 [\d.]+ )([\d.]+)(")', less, head)
    return svg[: opening.start()] + head + svg[opening.end() :]


def themed(svg: str) -> str:
    """Let the page decide the four neutral colours: ``#1f2430`` becomes ``var(--ink, #1f2430)``, and so on."""
    pattern = re.compile("|".join(map(re.escape, _VARIABLES)), re.IGNORECASE)
    return pattern.sub(lambda match: f"var({_VARIABLES[match[0].lower()]}, {match[0].lower()})", svg)
