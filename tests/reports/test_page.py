"""The page: whatever models answer stays text, nothing is loaded, and everything that was measured is there."""

import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.reports.hostile import EVERYTHING, TEXTS
from tests.reports.studies import write_run, write_thirteen
from visor_eval.analysis import Interval
from visor_reports.figures import Drawing, Picture
from visor_reports.figures.canvas import FORMATS
from visor_reports.page import write_page
from visor_reports.page.build import page_html
from visor_reports.page.headline import sentence
from visor_reports.page.images import LARGEST, find_images, mini_images, read_image
from visor_reports.page.markup import element, island, text
from visor_reports.page.pictures import inline_svg
from visor_reports.page.samples import browser_data
from visor_reports.page.tables import table_html
from visor_reports.reading import read_study
from visor_reports.study import Study
from visor_reports.table import Absent, Cell, Change, Column, Kind, Rank, Row, Table

SVG = (
    '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="8pt" '
    'viewBox="0 0 10 8"><metadata><a href="http://x"/></metadata><defs><path id="p"/><clipPath id="c"/></defs>'
    '<use xlink:href="#p" clip-path="url(#c)"/><image href="https://example.com/a.png"/>'
    '<image href="data:image/png;base64,AA"/></svg>'
)


class Elements(HTMLParser):
    """Every element of a document with its attributes, and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.words: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._within = f"{tag} {dict(attrs).get('id') or ''}".strip() if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within:
            self.raw[self._within] = self.raw.get(self._within, "") + data
        else:
            self.words.append(data)


def parsed(html: str) -> Elements:
    found = Elements()
    found.feed(html)
    found.close()
    return found


def hostile_study(root: Path) -> Study:
    """Two runs in which everything that may be text is an attack."""
    hostile = clean(EVERYTHING)
    for number, model in enumerate(("dense", f"visor {hostile}")):
        made = write_run(
            root, model, run_id=f"run{number}", tasks=("gqa", "docvqa_val"), counts=4, right=0.4 + number / 2
        )
        attacked = {"prompt": hostile, "answer": hostile, "references": tuple(map(clean, TEXTS)), "template": hostile}
        made.folder.write_samples([replace(sample, **attacked) for sample in made.samples])  # type: ignore[arg-type]
    return read_study(root)


def clean(value: str) -> str:
    """A results file is UTF-8: it cannot hold a lone surrogate."""
    return value.encode("utf-8", "replace").decode()


def hostile_table() -> Table:
    return Table(
        name="main",
        title=EVERYTHING,
        caption=EVERYTHING,
        columns=(Column(header=EVERYTHING, span=EVERYTHING), Column(header="score", kind=Kind.SCORE)),
        rows=(Row(cells=(Cell(value=EVERYTHING, notes=(EVERYTHING,)), Cell(value=50.0))),),
    )


def hostile_picture(folder: Path) -> Picture:
    files = {ending: folder / f"x.{ending}" for ending in FORMATS}
    files["svg"].write_text(SVG)
    return Picture(name="x", title=EVERYTHING, caption=EVERYTHING, files=files)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    root = tmp_path_factory.mktemp("hostile")
    study = hostile_study(root)
    board = study.boards[0]
    tables = [(board, hostile_table()), (None, Absent(name=EVERYTHING, reason=EVERYTHING))]
    html = page_html(study, tables, [Drawing(board=board, item=hostile_picture(root))])
    return study, html


def test_nothing_escapes(hostile: tuple[Study, str]) -> None:
    _, html = hostile
    page = parsed(html)
    assert [attrs.get("id") for tag, attrs in page.found if tag == "script"] == ["data", None]
    assert not [tag for tag, _ in page.found if tag in ("iframe", "object", "embed", "base")]
    allowed = {"src", "href", "xlink:href"}
    for tag, attrs in page.found:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        for name in allowed & attrs.keys():
            assert (attrs[name] or "").startswith(("#", "data:")), (tag, attrs)
    said = " ".join(page.words)
    for one in map(clean, TEXTS):
        shown = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", one)
        assert shown in said, one
    html.encode("utf-8")


def test_the_island_survives(hostile: tuple[Study, str]) -> None:
    study, html = hostile
    raw = parsed(html).raw["script data"]
    assert not re.search(r"[<>&\u2028\u2029]", raw)
    data = json.loads(raw)
    (board,) = data["boards"]
    assert [method["name"] for method in board["methods"]] == [method.name for method in study.boards[0].methods]
    assert len(board["samples"]) == 8
    for sample in board["samples"]:
        assert sample["question"] == clean(EVERYTHING)
        assert [answer["text"] for answer in sample["answers"]] == [clean(EVERYTHING)] * 2


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none(), st.lists))
def test_island_is_json_without_markup(value: object) -> None:
    written = island(value)
    assert json.loads(written) == value
    assert written.isascii()
    assert not set("<>&") & set(written)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_comes_back_as_it_was(value: str) -> None:
    page = parsed(element("p", text(value), title=value))
    assert "".join(page.words) == value
    assert page.found == [("p", {"title": value})]


def test_ids_are_unique_and_references_meet_them(hostile: tuple[Study, str]) -> None:
    _, html = hostile
    page = parsed(html)
    ids = [attrs["id"] for _, attrs in page.found if attrs.get("id")]
    assert len(ids) == len(set(ids))
    targets = [
        name[1:] for _, attrs in page.found if (name := attrs.get("href") or attrs.get("xlink:href") or "")[:1] == "#"
    ]
    assert set(targets) <= set(ids)


def test_policy_forbids_what_is_not_in_the_page(hostile: tuple[Study, str]) -> None:
    import base64
    import hashlib

    page = parsed(hostile[1])
    policy = next(attrs["content"] or "" for tag, attrs in page.found if tag == "meta" and "http-equiv" in attrs)
    script = page.raw["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_svg_inside_a_page() -> None:
    svg = inline_svg(SVG, prefix="a-b", title="<T>")
    assert svg.startswith("<svg ")
    assert 'viewBox="0 0 10 8"' in svg
    assert 'role="img" aria-label="&lt;T&gt;"' in svg
    assert 'id="a-b-p"' in svg
    assert 'xlink:href="#a-b-p"' in svg
    assert "url(#a-b-c)" in svg
    assert "data:image/png" in svg
    assert not re.search(r'example\.com|metadata|DOCTYPE|width="10pt"', svg)
    with pytest.raises(ValueError, match="SVG"):
        inline_svg("<p></p>", prefix="a", title="")


def test_table_cells() -> None:
    table = Table(
        name="t",
        title="T",
        caption="C",
        columns=(
            Column(header="method"),
            Column(header="score", kind=Kind.SCORE, span="easy"),
            Column(header="saving", kind=Kind.SAVING),
        ),
        rows=(
            Row(
                cells=(
                    Cell(value="visor"),
                    Cell(value=50.25, interval=Interval(50.25, 48, 52), rank=Rank.BEST, change=Change.BETTER),
                    Cell(value=float("inf")),
                )
            ),
            Row(
                cells=(Cell(value="paper's"), Cell(value=-1.0, rank=Rank.SECOND, notes=("why",)), Cell()),
                printed=True,
                rule=True,
            ),
        ),
    )
    html = table_html(table, anchor="mini-t", methods=frozenset({"visor"}))
    page = parsed(html)
    sorts = [attrs["data-sort"] for _, attrs in page.found if "data-sort" in attrs]
    assert sorts == ["visor", "50.25", "1e+308", "paper's", "-1.0"]  # an empty cell has no key
    assert [attrs["scope"] for tag, attrs in page.found if tag == "th"] == [
        "colgroup",
        "col",
        "col",
        "col",
        "row",
        "row",
    ]
    assert all(attrs["aria-sort"] == "none" for tag, attrs in page.found if "aria-sort" in attrs)
    assert "<strong>50.2</strong>" in html or "<strong>50.3</strong>" in html
    assert "<small>48.0\N{EN DASH}52.0</small>" in html
    assert "better than the reference" in html
    assert '<sup><a href="#mini-t-note-1">1</a></sup>' in html
    assert 'class="printed rule"' in html
    assert html.count('class="dot"') == 1


def test_mini_images_match_their_hashes() -> None:
    from importlib import resources

    import pyarrow.parquet as parquet

    from visor_eval.harness.samples import image_hash

    file = resources.files("visor_tasks") / "mini" / "data" / "docvqa_val.parquet"
    rows = parquet.read_table(io.BytesIO(file.read_bytes())).column("image").to_pylist()
    hashes = {image_hash(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows[:5]}
    found = mini_images(frozenset(hashes | {"unknown"}))
    assert set(found) == hashes
    assert all(uri.startswith("data:image/png;base64,") for uri in found.values())


def test_large_images_are_shrunk() -> None:
    buffer = io.BytesIO()
    Image.effect_noise((1600, 900), 40).save(buffer, format="PNG")
    _, uri = read_image(buffer.getvalue())
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < len(buffer.getvalue()) / 4
    import base64

    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        assert image.size == (LARGEST, 360)


def test_images_come_from_the_first_source_that_has_them() -> None:
    asked = []

    def second(hashes: frozenset[str]) -> dict[str, str]:
        asked.append(hashes)
        return dict.fromkeys(hashes & {"b"}, "second")

    found = find_images(["a", "b", "c"], [lambda hashes: {"a": "first"}, second])
    assert found == {"a": "first", "b": "second"}
    assert asked == [frozenset({"b", "c"})]


def test_images_are_stored_once_and_samples_bounded(tmp_path: Path) -> None:
    write_run(tmp_path, "dense", full=None, counts=30, tasks=("gqa", "docvqa_val"))
    write_run(tmp_path, "visor", counts=30, tasks=("gqa", "docvqa_val"))
    boards = read_study(tmp_path).boards
    data = browser_data(boards, samples_per_task=7, sources=[lambda hashes: dict.fromkeys(hashes, "data:,")])
    assert data["images"] == ["data:,"]  # every sample of the fixture has the same picture
    ids = [int(sample["id"]) for sample in data["boards"][0]["samples"] if sample["task"] == 0]
    assert len(ids) == 7
    assert ids[0] == 0
    assert max(ids) > 20  # spread over the task
    assert {len(sample["answers"]) for sample in data["boards"][0]["samples"]} == {2}
    everything = browser_data(boards, samples_per_task=None, sources=[])
    assert len(everything["boards"][0]["samples"]) == 60
    assert everything["boards"][0]["samples"][0]["images"] == [-1]
    answer = everything["boards"][0]["samples"][0]["answers"][1]
    cost = boards[0].method("visor").samples["gqa_mini"][0].cost
    assert cost is not None
    assert answer["configuration"] == "[1, 4]"
    assert answer["gflops"] == pytest.approx(cost.total() / 1e9, rel=5e-3)
    assert answer["saving"] == pytest.approx(cost.dense_total() / cost.total(), abs=5e-3)


def test_headline_says_what_was_measured(tmp_path: Path) -> None:
    write_thirteen(tmp_path, counts=8)
    board = read_study(tmp_path).boards[0]
    ours, dense = board.method("visor"), board.method("dense")
    said = sentence(board)
    assert "13 methods on 12 tasks, 96 questions each." in said
    for group in ("easy", "hard"):
        assert f"{ours.groups[group].score.estimate:.1f} of 100 on {group} tasks" in said
        assert f"(dense {dense.groups[group].score.estimate:.1f})" in said
        assert f"at {ours.groups[group].saving['exact'].estimate:.1f} times less decoder compute" in said


def test_empty_study(tmp_path: Path) -> None:
    html = page_html(read_study(tmp_path), [], [])
    assert "No finished run was found" in html
    assert json.loads(parsed(html).raw["script data"])["boards"] == []


def test_templates_travel_with_the_wheel(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {f"visor_reports/page/page.{ending}" for ending in ("html", "css", "js")} <= set(names)


def test_written_page_is_the_page(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "visor", counts=3)
    study = read_study(tmp_path / "results")
    write_page(study, [], [], tmp_path / "deep" / "index.html", samples_per_task=1)
    page = parsed((tmp_path / "deep" / "index.html").read_text(encoding="utf-8"))
    assert len(json.loads(page.raw["script data"])["boards"][0]["samples"]) == 12
