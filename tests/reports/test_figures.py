"""Figures: the same bytes for the same data, readable, and drawn only where the data exist."""

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.reports.pictures import FIGURES, GROUPS, NOTE, TASKS, around
from tests.reports.studies import write_run
from visor_reports import style
from visor_reports.figures import draw_figures
from visor_reports.figures.canvas import Picture, cropped, new_figure, spread, themed, write_figure
from visor_reports.figures.configurations import configuration_scores, relative_heatmap
from visor_reports.figures.of_runs import keep_ratio, pareto, router_counts, routers
from visor_reports.reading import read_study
from visor_reports.table import Absent

ONE_PIXEL = 1.0


def drawn(name: str, folder: Path) -> Picture:
    with style.styled():
        return write_figure(FIGURES[name](), folder, name, title=f"<{name}>", caption=NOTE, origin="test & <b>")


@pytest.fixture(scope="module")
def texts() -> dict[str, tuple[Figure, list[Text]]]:
    """The texts that are really drawn, figure by figure, laid out."""
    found = {}
    with style.styled(), pytest.MonkeyPatch.context() as patch:
        for name, make in FIGURES.items():
            figure = make().get_figure(root=True)
            assert figure is not None
            shown: list[Text] = []
            draw = Text.draw
            with patch.context() as spy:
                spy.setattr(
                    Text,
                    "draw",
                    lambda self, renderer, draw=draw, shown=shown: (shown.append(self), draw(self, renderer)),
                )
                figure.draw_without_rendering()
            found[name] = (
                figure,
                [text for text in dict.fromkeys(shown) if text.get_visible() and text.get_text().strip()],
            )
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_on_text(name: str, texts) -> None:
    _, found = texts[name]
    straight = [text for text in found if text.get_rotation() % 90 == 0]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in straight]  # less the arrow of an annotation
    for (first, one), (second, other) in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= ONE_PIXEL or down <= 3 * ONE_PIXEL, f"{first!r} and {second!r} overlap"


@pytest.mark.parametrize("name", FIGURES)
def test_all_text_lies_inside(name: str, texts) -> None:
    figure, found = texts[name]
    for text in found:
        box = text.get_window_extent()
        inside = box.x0 >= -2 and box.y0 >= -2 and box.x1 <= figure.bbox.x1 + 2 and box.y1 <= figure.bbox.y1 + 2
        assert inside, f"{text.get_text()!r} is cut off"


@pytest.mark.parametrize("name", FIGURES)
def test_suite_and_n_stand_below(name: str, texts) -> None:
    said = " ".join(text.get_text().replace("\n", " ") for text in texts[name][1])
    assert "synthetic" in said
    assert "n = 120 samples per task" in said


def test_same_bytes_again(tmp_path: Path) -> None:
    first, second = drawn("similarity", tmp_path / "a"), drawn("similarity", tmp_path / "b")  # lines and bitmaps
    for ending in ("pdf", "png", "svg"):
        content = first.files[ending].read_bytes()
        assert content == second.files[ending].read_bytes(), ending
        assert len(content) > 5000
    assert first.files["pdf"].read_bytes().startswith(b"%PDF")
    assert b"test & <b>" in first.files["png"].read_bytes()
    assert re.search(r"<(dc:date|image [^>]*href=\"(?!data:))", first.svg) is None


def test_svg_follows_the_page() -> None:
    assert themed('style="fill: #1f2430; stroke:#FFFFFE"') == (
        'style="fill: var(--ink, #1f2430); stroke:var(--paper, #fffffe)"'
    )
    assert cropped('<svg width="10pt" height="50.5pt" viewBox="0 0 10 50.5"><g/></svg>', 20.5) == (
        '<svg width="10pt" height="30pt" viewBox="0 0 10 30"><g/></svg>'
    )


def test_svg_says_the_note_once(tmp_path: Path) -> None:
    """The page prints the caption itself; the lone PDF and PNG carry it."""
    picture = drawn("oracle", tmp_path)
    assert "bootstrap" not in re.sub(r"<metadata>.*?</metadata>", "", picture.svg, flags=re.DOTALL)
    assert "RealWorldQA" in picture.svg


def test_dollars_and_markup_in_names_are_text(tmp_path: Path) -> None:
    with style.styled():
        figure = new_figure(note="costs $5 <or> $x_")
        axes = figure.subplots()
        axes.plot([1, 2], label="a$b$_<script>")
        axes.legend()
        svg = write_figure(figure, tmp_path, "dollars", title="$t", caption="").svg
    assert "a$b$_&lt;script" in svg


@given(st.lists(st.floats(-100, 100), max_size=12), st.floats(0.1, 10))
def test_spread(positions: list[float], distance: float) -> None:
    placed = spread(positions, distance)
    order = np.argsort(positions, kind="stable")
    ordered = np.array(placed)[order]
    assert (np.diff(ordered) >= distance * (1 - 1e-9) - 1e-9).all()
    if len(positions) < 2 or np.diff(np.array(positions)[order]).min() >= distance:
        assert placed == pytest.approx(positions)
    assert np.mean(placed) == pytest.approx(np.mean(positions)) if positions else placed == []


def test_relative_heatmap_shows_percent_of_the_best() -> None:
    scores = {(1, 4): {"gqa": 30.0, "docvqa_val": 0.0}, (1, 7): {"gqa": 40.0, "docvqa_val": 0.0}}
    with style.styled():
        figure = relative_heatmap(scores, {"easy": ["gqa"], "hard": ["docvqa_val"]}, note="")
    said = [text.get_text() for text in figure.findobj(Text)]
    assert "75" in said
    assert "100" in said
    assert "0" not in [word for word in said if word in ("0", "nan")]  # nobody solved it: no cell is coloured


def test_many_configurations_have_no_numbers() -> None:
    scores = {tuple(range(1, 2 + n)): dict.fromkeys(TASKS, 50.0) for n in range(60)}
    with style.styled():
        figure = relative_heatmap(scores, GROUPS, note="")
    assert sum(text.get_text() == "100" for text in figure.findobj(Text)) <= 1  # the colour bar's


def test_means_use_their_order() -> None:
    scores = {task: {(1,): 10.0, (1, 4): 20.0} for task in TASKS}
    means = {group: {(1,): around(10), (1, 4): around(20)} for group in GROUPS}
    with style.styled():
        figure = configuration_scores(scores, means, GROUPS, note="")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["[1]", "[1, 4]"]
    assert list(axes.lines[-1].get_ydata()) == [10, 20]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_run(root, "dense", full=None, counts=8)
    write_run(root, "visor", full=(1, 4, 7, 16), counts=8)
    return root


def test_what_a_study_of_runs_gives(results: Path, tmp_path: Path) -> None:
    study = read_study(results)
    drawings = draw_figures(study, tmp_path)
    items = {drawing.item.name: drawing for drawing in drawings}
    assert isinstance(items["pareto"].item, Picture)
    assert items["pareto"].board is study.boards[0]
    assert items["pareto"].item.files["png"] == tmp_path / "mini" / "pareto.png"
    assert "mini suite: synthetic" in items["pareto"].item.caption
    assert "n = 8 samples per task, 96 in all" in items["pareto"].item.caption
    assert "commit" in items["pareto"].item.files["png"].read_bytes().decode("latin-1")
    assert isinstance(items["s5-vision-length"].item, Picture)
    for name in ("s1-configurations", "s3-configuration-scores", "s4-oracle", "cka", "cka-curves"):
        item = items[name].item
        assert isinstance(item, Absent)
        assert "visor-eval" in item.reason
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) == 3 * sum(isinstance(drawing.item, Picture) for drawing in drawings)


def test_routers_are_those_that_ran(results: Path, tmp_path: Path) -> None:
    board = read_study(results).boards[0]
    counts = router_counts(board.method("visor"))
    assert counts is not None
    assert counts["gqa_mini"] == Counter({(1, 4, 7, 16): 8})
    assert router_counts(board.method("dense")) is None
    assert [sketch.name for sketch in routers(board)] == ["s2-router"]
    write_run(tmp_path, "visor", counts=4, tasks=("gqa",))
    write_run(tmp_path, "visor-tr", counts=4, tasks=("gqa",))
    both = routers(read_study(tmp_path).boards[0])
    assert {sketch.name for sketch in both} == {"s2-router-visor", "s2-router-visor-tr"}


def test_one_method_has_no_front(tmp_path: Path) -> None:
    write_run(tmp_path, "visor", counts=4)
    board = read_study(tmp_path).boards[0]
    for made in (pareto(board), keep_ratio(board)):
        assert isinstance(made, Absent)
        assert "two methods" in made.reason


def test_unknown_cost_is_left_out_of_the_front(tmp_path: Path) -> None:
    from dataclasses import replace

    write_run(tmp_path, "dense", full=None, counts=4)
    write_run(tmp_path, "visor", counts=4)
    made = write_run(tmp_path, "imported", counts=4)
    made.folder.write_samples([replace(sample, cost=None) for sample in made.samples])
    sketch = pareto(read_study(tmp_path).boards[0])
    assert not isinstance(sketch, Absent)
    with style.styled():
        figure = sketch.draw("")
    said = {text.get_text() for text in figure.findobj(Text)}
    assert {"dense", "visor"} <= said
    assert "imported" not in said
