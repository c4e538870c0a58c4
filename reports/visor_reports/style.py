"""One look for every figure and for the page: colours, markers, lines, sizes.

Colour says where a method acts (VISOR red, before the decoder blue to green, between its layers ochre, controls grey,
dense ink), the marker says which method it is and its filling which variant, so that a figure reads in grey and by the
colour-blind. Every colour has a contrast of at least 3:1 on white and on the page's dark ground.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

INK = "#1f2430"  # text, axes; the page's SVG replaces these four by its own light and dark colours
MUTED = "#68707d"  # secondary text, ticks
GRID = "#dfe2e6"  # grid lines, empty cells
PAPER = "#fffffe"  # ground behind marks
ON_LIGHT, ON_DARK = "#000000", "#ffffff"  # text on coloured cells: never replaced
DARK_GROUND = "#15171c"  # of the page in dark mode

RED, BLUE, GREEN, VIOLET, OCHRE, GREY = "#cf4b2e", "#2f78b8", "#158a74", "#7c63bd", "#a87610", "#7b828c"

WIDTH = 7.2  # inches: two columns of a paper
DPI = 200  # of the PNG files


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """How one method is drawn.

    Attributes:
        colour: hexadecimal.
        marker: matplotlib's name of the marker; "$3$" is the digit 3.
        fill: "full", "none" or "bottom" (half); variants of a method differ by this and by lightness.
        dash: matplotlib's line style.
    """

    colour: str
    marker: str
    fill: str = "full"
    dash: str = "-"

    def points(self, size: float = 6.5) -> dict[str, Any]:
        """Arguments of ``Axes.plot`` for markers of ``size`` points."""
        return {
            "color": self.colour,
            "marker": _digit(self.marker[1:-1]) if "$" in self.marker else self.marker,
            "markersize": size * (1.45 if self.marker == "*" else 1.15 if self.marker in "^v<>PX" else 1.0),
            "fillstyle": self.fill,
            "markerfacecolor": PAPER if self.fill == "none" else self.colour,
            "markerfacecoloralt": PAPER,
            "markeredgecolor": PAPER if self.fill == "full" and "$" not in self.marker else self.colour,
            "markeredgewidth": 0.4 if "$" in self.marker else 0.6 if self.fill == "full" else 1.3,
        }


def _digit(text: str) -> Any:
    """A number as a marker, centred."""
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), text)
    box = path.get_extents()
    return Path(path.vertices - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2], path.codes)


_METHODS = {
    "dense": MethodStyle(colour=INK, marker="s"),
    "visor": MethodStyle(colour=RED, marker="o"),
    "visor-tr": MethodStyle(colour="#b0563f", marker="o", fill="none"),
    "visor-zero": MethodStyle(colour="#d97757", marker="h", fill="none", dash=":"),
    "visionzip": MethodStyle(colour=BLUE, marker="^"),
    "visionzip-dagger": MethodStyle(colour="#4d93cd", marker="^", fill="none", dash="--"),
    "vispruner": MethodStyle(colour=GREEN, marker="v"),
    "vispruner-16x": MethodStyle(colour="#2f9d87", marker="v", fill="none", dash=":"),
    "vispruner-trained": MethodStyle(colour="#2f9d87", marker="v", fill="bottom", dash="--"),
    "hired": MethodStyle(colour="#4a5fb5", marker="D"),
    "m3": MethodStyle(colour=VIOLET, marker="p"),
    "downsample": MethodStyle(colour="#3f8fa8", marker="<"),
    "downsample-image": MethodStyle(colour="#3f8fa8", marker="<", fill="none", dash="--"),
    "random": MethodStyle(colour=GREY, marker="X"),
    "pyramiddrop": MethodStyle(colour="#8d6410", marker="P"),
    "sparsevlm": MethodStyle(colour=OCHRE, marker="*"),
    "fastv": MethodStyle(colour="#96702f", marker=">"),
}

_OTHER = tuple(
    MethodStyle(colour=colour, marker=marker, dash="-.")
    for colour in ("#a8557f", "#5c7c2f", "#8a5a44", "#5a7388")
    for marker in ("d", "8", "H", "h")
)


def method_style(name: str) -> MethodStyle:
    """The look of a method or composition, always the same for the same name.

    ``visor+visionzip`` has VISOR's colour and VisionZip's marker; ``visor [1, 4]`` shows its number of layers as the
    marker; names that are not known take a look of their own that follows from the name.
    """
    method, bracket, layers = name.partition("[")
    parts = [_one(part) for part in method.partition("@")[0].partition("(")[0].split("+")]
    look = parts[0] if len(parts) == 1 else replace(parts[0], marker=parts[1].marker, fill="none", dash="--")
    if bracket:
        count = sum(part.strip(" ]").isdigit() for part in layers.split(","))
        look = replace(look, marker=f"${count}$", fill="full")
    return look


def method_styles(names: Iterable[str]) -> dict[str, MethodStyle]:
    """Looks for one figure: configurations are told apart by numbers only where a method has several of them."""
    names = list(names)
    bases = [name.partition("[")[0].strip() for name in names]
    return {
        name: method_style(name if bases.count(base) > 1 else base) for name, base in zip(names, bases, strict=True)
    }


def _one(name: str) -> MethodStyle:
    name = name.strip().partition(" ")[0].lower().replace("_", "-")  # settings behind a space do not count
    known = [key for key in _METHODS if name == key or name.startswith(f"{key}-")]
    return _METHODS[max(known, key=len)] if known else _OTHER[crc32(name.encode()) % len(_OTHER)]


def methods() -> tuple[str, ...]:
    """Names of the methods that have a look of their own, in the order in which figures list them."""
    return tuple(_METHODS)


def order(name: str) -> tuple[int, str]:
    """Sort key: the order of ``methods``, compositions behind their first part, unknown names last."""
    first = name.split("+")[0].strip()
    known = [index for index, key in enumerate(_METHODS) if first.startswith(key)]
    return (max(known) if known else len(_METHODS), name)


def shades() -> Any:
    """The colour map of shares and scores: light paper to deep blue, evenly darker, so that grey keeps the order."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = ("#f6f4ee", "#d5e3e3", "#9fc6cf", "#5f9fb8", "#2f719b", "#1d4676", "#15264d")
    return LinearSegmentedColormap.from_list("visor", stops)


def layer_colours(counts: int) -> list[str]:
    """Colours for ``counts`` ordered steps (numbers of layers), light to dark."""
    from matplotlib.colors import to_hex

    shade = shades()
    return [to_hex(shade(0.16 + 0.80 * step / max(1, counts - 1))) for step in range(counts)]


def text_on(colour: str) -> str:
    """``ON_LIGHT`` or ``ON_DARK``: what reads better on ``colour``."""
    return ON_DARK if contrast(colour, ON_DARK) >= contrast(colour, ON_LIGHT) else ON_LIGHT


def luminance(colour: str) -> float:
    """Relative luminance of a hexadecimal colour, 0..1 (WCAG 2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1..21 (WCAG 2)."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "visor-eval",  # the same ids every time
    "path.simplify": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within this block matplotlib draws in the project's style; nothing stays changed afterwards."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield
