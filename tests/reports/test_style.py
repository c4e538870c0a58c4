"""Colours can be told apart on light and dark ground, in grey, and by the colour-blind."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from visor_reports import style
from visor_reports.style import contrast, luminance, method_style


@pytest.mark.parametrize("name", [name for name in style.methods() if name != "dense"])
def test_contrast_on_both_grounds(name: str) -> None:
    colour = method_style(name).colour
    assert contrast(colour, "#ffffff") >= 3
    assert contrast(colour, style.DARK_GROUND) >= 3


def test_no_two_methods_need_colour() -> None:
    """Marker and filling alone tell every method from every other."""
    looks = [(method_style(name).marker, method_style(name).fill) for name in style.methods()]
    assert len(set(looks)) == len(looks)


def test_known_contrasts() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1)


def test_shades_darken_evenly() -> None:
    """Grey keeps the order, and no part of the scale is flat."""
    shade = style.shades()
    lightness = [116 * luminance(mpl.colors.to_hex(shade(value))) ** (1 / 3) - 16 for value in np.linspace(0, 1, 21)]
    steps = -np.diff(lightness)
    assert (steps > 1.5).all()
    assert steps.max() < 4 * steps.min()


@pytest.mark.parametrize("value", np.linspace(0, 1, 11))
def test_text_on_cells_can_be_read(value: float) -> None:
    ground = mpl.colors.to_hex(style.shades()(value))
    assert contrast(ground, style.text_on(ground)) >= 4.5


def test_names() -> None:
    assert method_style("visor-tr-excl") == method_style("visor-tr")
    assert method_style("m3 factor=16") == method_style("m3")
    both = method_style("visor+visionzip")
    assert (both.colour, both.marker) == (method_style("visor").colour, method_style("visionzip").marker)
    assert method_style("visor [1, 4, 7]").marker == "$3$"
    assert method_style("visor [1, 4, 7]").colour == method_style("visor").colour
    other = method_style("somebody-elses")  # the same in every process: hash() would not be
    assert (other.colour, other.marker) == ("#5a7388", "d")
    strangers = {
        method_style(f"method{number}").marker + method_style(f"method{number}").colour for number in range(40)
    }
    assert len(strangers) > 8


def test_numbers_only_where_a_method_has_several_configurations() -> None:
    looks = style.method_styles(["visor", "visor [1, 4]", "visor-tr [1, 4]"])
    assert [look.marker for look in looks.values()] == ["o", "$2$", "o"]


def test_order_lists_dense_first_and_strangers_last() -> None:
    names = sorted(["zzz", "fastv", "visor+visionzip", "visor", "dense", "visor-tr"], key=style.order)
    assert names == ["dense", "visor", "visor+visionzip", "visor-tr", "fastv", "zzz"]


def test_layer_colours_darken() -> None:
    for count in range(1, 9):
        found = [sum(to_rgb(colour)) for colour in style.layer_colours(count)]
        assert all(first > second for first, second in itertools.pairwise(found))


def test_style_is_put_back() -> None:
    before = dict(mpl.rcParams)
    with style.styled():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert dict(mpl.rcParams) == before
