"""Puts the page together: templates, tables, figures, samples, provenance."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from visor_reports.figures import Drawing
from visor_reports.names import setting_label
from visor_reports.page.headline import figures as headline_figures
from visor_reports.page.headline import sentence
from visor_reports.page.images import ImageSource, mini_images
from visor_reports.page.markup import element, island, text
from visor_reports.page.pictures import picture_html
from visor_reports.page.samples import browser_data
from visor_reports.page.tables import table_html
from visor_reports.provenance import provenance_lines
from visor_reports.study import Board, Study
from visor_reports.table import Absent, Table

SAMPLES_PER_TASK = 40
OPENED = 2  # tables of a board that are unfolded at first


def write_page(
    study: Study,
    tables: Sequence[tuple[Board | None, Table | Absent]],
    drawings: Sequence[Drawing],
    path: Path,
    *,
    samples_per_task: int | None = SAMPLES_PER_TASK,
    sources: Sequence[ImageSource] = (mini_images,),
) -> None:
    """Write the report's page.

    Args:
        study: what was read.
        tables: with the board each belongs to; None: the whole study.
        drawings: figures likewise.
        path: the file; replaced where it exists.
        samples_per_task: questions per task in the sample browser; None: all.
        sources: where the samples' images come from.
    """
    html = page_html(study, tables, drawings, samples_per_task=samples_per_task, sources=sources)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def page_html(
    study: Study,
    tables: Sequence[tuple[Board | None, Table | Absent]],
    drawings: Sequence[Drawing],
    *,
    samples_per_task: int | None = SAMPLES_PER_TASK,
    sources: Sequence[ImageSource] = (mini_images,),
) -> str:
    """The page as text; arguments as for ``write_page``."""
    script, css = _template("page.js"), _template("page.css")
    data = browser_data(study.boards, samples_per_task=samples_per_task, sources=sources)
    sections = [_section(board, tables, drawings) for board in (*study.boards, None)]
    absent = [item for _, item in tables if isinstance(item, Absent)]
    absent += [one for drawing in drawings if isinstance(one := drawing.item, Absent)]
    first = study.boards[0] if study.boards else None
    return Template(_template("page.html")).substitute(
        title=text("visor-eval report" + (f": {first.title}" if first else "")),
        policy=text(_policy(script)),
        style=css,
        lede=text(sentence(first) if first else "No finished run was found."),
        badge=element("p", text(setting_label(first.setting)), class_="badge") if first else "",
        cards="".join(_card(*each) for each in _cards(first)),
        contents=_contents(study, sections),
        sections="".join(markup for _, _, markup in sections),
        provenance=_definitions(provenance_lines(study)),
        left_out=_left_out(study, absent),
        data=island(data),
        script=script,
    )


def _section(
    board: Board | None, tables: Sequence[tuple[Board | None, Table | Absent]], drawings: Sequence[Drawing]
) -> tuple[str, str, str]:
    """(anchor, title, markup) of a board, or of what belongs to no board; no markup where there is nothing."""
    prefix = board.slug if board else "all"
    names = frozenset(method.name for method in board.methods) if board else frozenset()
    shown = [item for owner, item in tables if owner is board and isinstance(item, Table)]
    pictures = [one.item for one in drawings if one.board is board and not isinstance(one.item, Absent)]
    body = "".join(picture_html(one, anchor=f"{prefix}-figure-{one.name}") for one in pictures[:1])
    body += "".join(
        table_html(one, anchor=f"{prefix}-table-{one.name}", methods=names, opened=bool(board) and number < OPENED)
        for number, one in enumerate(shown)
    )
    if pictures[1:]:
        body += element(
            "div",
            "".join(picture_html(one, anchor=f"{prefix}-figure-{one.name}") for one in pictures[1:]),
            class_="pictures",
        )
    if not body:
        return prefix, "", ""
    title = board.title if board else "Across suites"
    note = element("p", text(setting_label(board.setting)), class_="badge") if board else ""
    anchor = f"section-{prefix}"
    return anchor, title, element("section", element("h2", text(title)) + note + body, id=anchor)


def _cards(board: Board | None) -> list[tuple[str, str, str]]:
    return [(one.label, one.value, one.detail) for one in headline_figures(board)] if board else []


def _card(label: str, value: str, detail: str) -> str:
    return element(
        "div", element("dt", text(label)) + element("dd", element("b", text(value)) + element("small", text(detail)))
    )


def _contents(study: Study, sections: Sequence[tuple[str, str, str]]) -> str:
    links = [(anchor, title) for anchor, title, markup in sections if markup]
    links += [("samples", "Samples")] if study.boards else []
    links += [("provenance", "Provenance")]
    return "".join(element("li", element("a", text(title), href=f"#{anchor}")) for anchor, title in links)


def _left_out(study: Study, absent: Sequence[Absent]) -> str:
    """What the reader will look for in vain, each with its reason."""
    lines = [(one.name, one.reason) for one in study.skipped]
    lines += [
        (old, f"superseded by {new}, a newer run with the same settings") for old, new in study.superseded.items()
    ]
    lines += [(one.name, one.reason) for one in absent]
    if not lines:
        return ""
    return element("h3", "Not in this report") + _definitions(list(dict.fromkeys(lines)))


def _definitions(lines: Sequence[tuple[str, str]]) -> str:
    return element("dl", "".join(element("dt", text(key)) + element("dd", text(value)) for key, value in lines))


def _policy(script: str) -> str:
    """Nothing may be loaded, and only the page's own script may run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _template(name: str) -> str:
    return (resources.files("visor_reports.page") / name).read_text(encoding="utf-8")
