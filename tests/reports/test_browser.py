"""The page in a real browser: no errors, nothing loaded, sorting and filtering work, light, dark and on a phone."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.reports.browser import chromium, console, look, missing, requests, save_screenshot
from tests.reports.studies import write_run
from tests.reports.test_page import hostile_picture, hostile_study, hostile_table
from visor_reports.figures import Drawing, Picture
from visor_reports.figures.canvas import write_figure
from visor_reports.page import write_page
from visor_reports.reading import read_study
from visor_reports.style import contrast, styled
from visor_reports.table import Cell, Column, Kind, Row, Table

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

TABLE = Table(
    name="scores",
    title="Scores",
    caption="Made up.",
    columns=(
        Column(header="Method"),
        Column(header="Quantity"),
        Column(header="Score", kind=Kind.SCORE),
        Column(header="Saving", kind=Kind.SAVING),
    ),
    rows=(
        Row(cells=(Cell(value="visor"), Cell(value="score"), Cell(value=9.0), Cell(value=12.0))),
        Row(cells=(Cell(), Cell(value="detail"), Cell(value=99.0), Cell())),
        Row(cells=(Cell(value="dense"), Cell(value="score"), Cell(value=50.0), Cell())),
        Row(cells=(Cell(value="m3"), Cell(value="score"), Cell(value=-3.5), Cell(value=8.1))),
    ),
)


@pytest.fixture(scope="module")
def driver() -> Iterator:
    with chromium() as found:
        yield found


def picture(folder: Path) -> Picture:
    from tests.reports.pictures import oracle

    with styled():
        return write_figure(oracle(), folder, "oracle", title="Oracle", caption="Made up.")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods over three tasks, one of them always right, the other wrong on every question of docvqa_val."""
    root = tmp_path_factory.mktemp("page")
    tasks = ("gqa", "pope", "docvqa_val")
    write_run(root / "results", "dense", full=None, counts=20, tasks=tasks, right=9.0)
    made = write_run(root / "results", "visor", counts=20, tasks=tasks, right=9.0)
    from dataclasses import replace

    samples = [
        replace(one, score=0.0, answer="cat", metrics={"anls": 0.0}, references=("yes",))
        if "docvqa" in one.task
        else one
        for one in made.samples
    ]
    made.folder.write_samples(samples)
    study = read_study(root / "results")
    board = study.boards[0]
    drawings = [Drawing(board=board, item=picture(root / "figures"))]
    write_page(study, [(board, TABLE)], drawings, root / "index.html", sources=[a_picture])
    return root / "index.html"


def a_picture(hashes: frozenset[str]) -> dict[str, str]:
    from visor_reports.page.images import read_image

    buffer = io.BytesIO()
    Image.new("RGB", (56, 56), "teal").save(buffer, format="PNG")
    return dict.fromkeys(hashes, read_image(buffer.getvalue())[1])


def opened(driver, page: Path, *, width: int = 1200, dark: bool = False) -> None:
    requests(driver), console(driver)
    look(driver, width=width, dark=dark)
    driver.get(page.as_uri())


def rows(driver) -> list[str]:
    """First and third cell of every row."""
    return driver.execute_script(
        "return [...document.querySelectorAll('#mini-table-scores tbody tr')]"
        ".map(row => row.cells[0].textContent + row.cells[2].textContent)"
    )


def press(driver, column: int) -> str:
    return driver.execute_script(
        "const th = document.querySelectorAll('#mini-table-scores thead th')[arguments[0]];"
        "th.querySelector('button').click(); return th.getAttribute('aria-sort')",
        column,
    )


def choose(driver, name: str, label: str) -> str:
    """Choose in a filter by what it shows; return what the count says then."""
    return driver.execute_script(
        "const select = document.getElementById('filter-' + arguments[0]);"
        "select.selectedIndex = [...select.options].findIndex(one => one.textContent === arguments[1]);"
        "if (select.selectedIndex < 0) throw new Error('no option ' + arguments[1]);"
        "select.dispatchEvent(new Event('change', { bubbles: true }));"
        "return document.getElementById('count').textContent",
        name,
        label,
    )


def test_opens_without_errors_and_loads_nothing(driver, page: Path) -> None:
    opened(driver, page)
    assert console(driver) == []
    asked = requests(driver)
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert [url for url in asked if url.startswith("file:")] == [page.as_uri()]
    assert driver.execute_script("return document.querySelector('svg').getBoundingClientRect().height") > 200
    assert driver.execute_script("return document.querySelector('#cards img').naturalWidth") == 56


def test_sorting(driver, page: Path) -> None:
    opened(driver, page)
    printed = ["visor9.0", "99.0", "dense50.0", "m3\N{MINUS SIGN}3.5"]
    assert rows(driver) == printed
    assert press(driver, 2) == "descending"
    assert rows(driver) == [
        "dense50.0",
        "visor9.0",
        "99.0",
        "m3\N{MINUS SIGN}3.5",
    ]  # a row without a name stays with its own
    assert press(driver, 2) == "ascending"
    assert rows(driver) == ["m3\N{MINUS SIGN}3.5", "visor9.0", "99.0", "dense50.0"]
    assert press(driver, 3) == "descending"
    assert [row[:2] for row in rows(driver)] == ["vi", "99", "m3", "de"]  # an empty cell comes last
    assert press(driver, 3) == "ascending"
    assert [row[:2] for row in rows(driver)] == ["m3", "vi", "99", "de"]
    assert press(driver, 3) == "none"
    assert rows(driver) == printed
    assert press(driver, 0) == "ascending"
    assert [row[:2] for row in rows(driver)] == ["de", "m3", "vi", "99"]
    states = driver.execute_script(
        "return [...document.querySelectorAll('#mini-table-scores thead th')].map(th => th.ariaSort)"
    )
    assert states == ["ascending", "none", "none", "none"]


def test_filtering(driver, page: Path) -> None:
    opened(driver, page)
    shown = driver.execute_script
    assert shown("return document.getElementById('count').textContent") == "1 to 24 of 60 samples of 60 on this page"
    assert shown("return document.querySelectorAll('#cards > li').length") == 24
    assert choose(driver, "task", "DocVQA (hard)").startswith("1 to 20 of 20 samples")
    assert choose(driver, "result", "all right").startswith("0 samples")
    assert choose(driver, "result", "methods disagree").startswith("1 to 20 of 20 samples")
    assert choose(driver, "method", "visor").startswith("1 to 20 of 20 samples")
    assert choose(driver, "result", "right").startswith("0 samples")
    assert choose(driver, "result", "wrong").startswith("1 to 20 of 20 samples")
    assert choose(driver, "configuration", "[1, 4]").startswith("1 to 20 of 20 samples")
    marked = "return [...document.querySelectorAll('#cards tr.chosen th')].map(th => th.textContent)"
    assert set(shown(marked)) == {"visor"}
    assert choose(driver, "task", "all tasks").startswith("1 to 20 of 20 samples")
    assert choose(driver, "method", "dense").startswith("0 samples")  # always right
    assert choose(driver, "result", "right").startswith("1 to 24 of 60 samples")  # the configuration filter is gone


def test_words_and_pages(driver, page: Path) -> None:
    opened(driver, page)
    driver.execute_script("document.getElementById('next').click(); document.getElementById('next').click()")
    assert driver.execute_script("return document.getElementById('count').textContent").startswith("49 to 60 of 60")
    assert driver.execute_script("return document.getElementById('next').disabled")
    words = driver.find_element("id", "filter-words")
    words.send_keys("QUESTION 7?")
    assert driver.execute_script("return document.getElementById('count').textContent").startswith(
        "1 to 3 of 3 samples"
    )
    words.clear()
    words.send_keys("cat")
    assert "of 20 samples" in driver.execute_script("return document.getElementById('count').textContent")


def test_a_card_says_everything(driver, page: Path) -> None:
    opened(driver, page)
    choose(driver, "task", "DocVQA (hard)")
    card = driver.find_element("css selector", "#cards > li").text
    for part in (
        "DocVQA",
        "docvqa_val question 0?",
        "Reference: yes",
        "dense",
        "visor",
        "cat",
        "layers [1, 4]",
        "less",
    ):
        assert part in card
    verdicts = driver.execute_script(
        "return [...document.querySelector('#cards > li').querySelectorAll('.verdict')].map(v => v.ariaLabel)"
    )
    assert verdicts == ["right", "wrong"]


def test_keyboard_reaches_and_works(driver, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(driver, page)
    driver.execute_script(
        "window.seen = [];"
        "addEventListener('focusin', ({ target }) => seen.push(target.id || target.className || target.tagName))"
    )
    driver.find_element("css selector", "body").send_keys(Keys.TAB * 30)
    seen = driver.execute_script("return seen")
    assert seen[0] == "skip"
    assert {"theme", "intervals", "SUMMARY", "scroll", "filter-task", "filter-words", "answers"} <= set(seen)
    header = driver.find_element("css selector", "#mini-table-scores thead button")
    header.send_keys(Keys.ENTER)
    assert driver.execute_script("return document.querySelector('#mini-table-scores th').ariaSort") == "ascending"


def test_names_for_those_who_listen(driver, page: Path) -> None:
    """Every control, picture and table has a name, and headings do not skip a level."""
    opened(driver, page)
    unnamed = driver.execute_script("""
        const named = (e) => (e.ariaLabel || e.alt || e.textContent || '').trim()
            || (e.labels && e.labels.length) || e.querySelector('title, caption');
        return [...document.querySelectorAll('button, a, input, select, img, svg, [role=img], [role=region]')]
            .filter(e => !e.closest('svg:not([role=img])') && !named(e)).map(e => e.outerHTML.slice(0, 120));
    """)
    assert unnamed == []
    levels = driver.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert driver.execute_script("return document.documentElement.lang") == "en"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390], ids=["desk", "phone"])
def test_looks(driver, page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    """Nothing sticks out sideways, text has contrast, and the ground follows the system."""
    opened(driver, page, width=width, dark=dark)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert driver.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16
    pairs = driver.execute_script("""
        const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
        const hex = (colour) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
            return '#' + parts.map(value => value.toString(16).padStart(2, '0')).join('');
        };
        const ground = (e) => {
            for (let at = e; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if (!/rgba?\\(0, 0, 0, 0\\)|transparent/.test(colour) && !/\\/ 0/.test(colour)) return colour;
            }
        };
        const found = {};
        for (const e of document.querySelectorAll('main *:not(svg *), header *, footer *')) {
            const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
            if (!own || e.disabled || !e.checkVisibility()) continue;
            found[hex(getComputedStyle(e).color) + hex(ground(e))] = e.outerHTML.slice(0, 90);
        }
        return found;
    """)
    assert len(pairs) >= 3
    for pair, where in pairs.items():
        assert contrast(pair[:7], pair[7:]) >= 4.5, (pair, where)
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    save_screenshot(driver, tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        corner = image.convert("RGB").getpixel((2, 300))
    assert isinstance(corner, tuple)
    assert (sum(corner) < 200) == dark, ground


def test_theme_button_and_intervals(driver, page: Path) -> None:
    opened(driver, page)
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = driver.execute_script(ground)
    driver.find_element("id", "theme").click()
    after = driver.execute_script(ground)
    assert after != before
    driver.refresh()
    assert driver.execute_script(ground) == after  # remembered
    driver.find_element("id", "theme").click()
    driver.execute_script("localStorage.clear()")
    driver.find_element("id", "intervals").click()
    assert "plain" in driver.execute_script("return document.body.className")


def test_attacks_stay_text(driver, tmp_path: Path) -> None:
    study = hostile_study(tmp_path / "results")
    board = study.boards[0]
    drawings = [Drawing(board=board, item=hostile_picture(tmp_path))]
    write_page(study, [(board, hostile_table())], drawings, tmp_path / "index.html")
    opened(driver, tmp_path / "index.html")
    assert console(driver) == []
    assert [url for url in requests(driver) if not url.startswith(("file:", "data:"))] == []
    assert driver.execute_script("return window.broken") is None
    assert driver.execute_script("return document.querySelectorAll('#cards img[src=x], #cards script').length") == 0
    assert "</script><script>" in driver.find_element("css selector", "#cards > li").text
    assert driver.execute_script("return document.querySelectorAll('script').length") == 2
