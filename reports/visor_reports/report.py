"""The report's folder: tables as Markdown, LaTeX and CSV, figures, one page, and where all of it comes from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visor_reports import csv_form, latex, markdown
from visor_reports.figures import Drawing, Picture
from visor_reports.names import setting_label
from visor_reports.provenance import provenance_lines
from visor_reports.study import Board, Study
from visor_reports.table import Absent, Table
from visor_reports.tables import all_tables

MANIFEST = "report.json"  # what was written, so that the next report can remove what it no longer makes
PAGE = "index.html"

Listed = tuple[Board | None, Table | Absent]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a report left on disk.

    Attributes:
        folder: where.
        files: every file, relative to it.
        tables: number of tables.
        figures: number of figures.
        absent: tables and figures whose input does not exist, with the reason.
    """

    folder: Path
    files: tuple[str, ...]
    tables: int
    figures: int
    absent: tuple[Absent, ...]


def write_report(
    study: Study,
    folder: Path,
    *,
    extra: Sequence[Listed] = (),
    figures: bool = True,
    page: bool = True,
    samples_per_task: int | None = 40,
) -> Written:
    """Write the report; files of an earlier report in the same folder that are not made again are removed.

    Args:
        study: what was read.
        folder: created where it is missing.
        extra: more tables, with the board each belongs to.
        figures: draw the figures.
        page: write the HTML page.
        samples_per_task: questions per task in the page's sample browser; None: all.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = _earlier(folder)
    tables = [*extra, *all_tables(study)]
    files = dict(_table_files(study, tables))
    drawings = _draw(study, folder / "figures") if figures else []
    files["report.md"] = _whole(study, tables, drawings, folder)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    written = [*files, *(_relative(path, folder) for picture in _pictures(drawings) for path in picture.files.values())]
    if page:
        from visor_reports.page import write_page

        write_page(study, tables, drawings, folder / PAGE, samples_per_task=samples_per_task)
        written.append(PAGE)
    (folder / MANIFEST).write_text(_manifest(study, written, tables, drawings), encoding="utf-8", errors="replace")
    for name in sorted(before - set(written)):
        (folder / name).unlink(missing_ok=True)
    return Written(
        folder=folder,
        files=(*written, MANIFEST),
        tables=sum(isinstance(table, Table) for _, table in tables),
        figures=len(_pictures(drawings)),
        absent=_absent(tables, drawings),
    )


def _draw(study: Study, folder: Path) -> list[Drawing]:
    from visor_reports.figures import draw_figures

    return draw_figures(study, folder)


def _table_files(study: Study, tables: Sequence[Listed]) -> Iterator[tuple[str, str]]:
    """(name, content): each table by itself in every form, and all of them as one LaTeX document."""
    for board, table in tables:
        if isinstance(table, Absent):
            continue
        lines = provenance_lines(study, board)
        base = f"tables/{table.name}"
        yield f"{base}.md", markdown.markdown(table, lines)
        yield f"{base}.tex", latex.latex(table, lines)
        yield f"{base}.csv", csv_form.csv_text(table)
        yield f"{base}.csv-metadata.json", csv_form.metadata(table, lines)
    found = [table for _, table in tables if isinstance(table, Table)]
    yield "tables/all.tex", latex.document(found, provenance_lines(study))


def _whole(study: Study, tables: Sequence[Listed], drawings: Sequence[Drawing], folder: Path) -> str:
    """Everything in one Markdown file."""
    blocks = ["# Report"]
    if not study.boards:
        blocks.append("No finished run was found; below are the paper's printed tables only.")
    boards: list[Board | None] = [*study.boards, None]
    for board in boards:
        mine = [table for owner, table in tables if owner is board and isinstance(table, Table)]
        pictures = _pictures([drawing for drawing in drawings if drawing.board is board])
        if not mine and not pictures:
            continue
        title = "The paper, and what belongs to no suite" if board is None else setting_label(board.setting)
        blocks.append(f"## {markdown.escape(title[0].upper() + title[1:])}")
        blocks += [markdown.markdown(table).rstrip() for table in mine]
        blocks += [_picture(picture, folder) for picture in pictures]
    missing = [f"- {markdown.escape(item.name)}: {markdown.escape(item.reason)}" for item in _absent(tables, drawings)]
    if missing:
        blocks.append(
            "\n".join(["## Not here", "", "Left out, because what they show was not measured.", "", *missing])
        )
    if study.skipped or study.superseded:
        blocks.append("\n".join(["## Runs that are in no table", "", *_left_out(study)]))
    blocks.append(markdown.provenance(provenance_lines(study)))
    return "\n\n".join(blocks) + "\n"


def _picture(picture: Picture, folder: Path) -> str:
    path = _relative(picture.files["png"], folder)
    return f"![{markdown.escape(picture.title)}]({path})\n\n{markdown.escape(picture.caption)}"


def _left_out(study: Study) -> list[str]:
    lines = [f"- {markdown.escape(item.name)}: {markdown.escape(item.reason)}" for item in study.skipped]
    lines += [
        f"- {markdown.escape(old)}: superseded by the newer run {markdown.escape(new)} with the same settings"
        for old, new in sorted(study.superseded.items())
    ]
    return lines


def _manifest(study: Study, written: Sequence[str], tables: Sequence[Listed], drawings: Sequence[Drawing]) -> str:
    content: Mapping[str, object] = {
        "files": sorted(written),
        "absent": {item.name: item.reason for item in _absent(tables, drawings)},
        "skipped": {item.name: item.reason for item in study.skipped},
        "superseded": dict(sorted(study.superseded.items())),
        "provenance": study.provenance.to_dict(),
        "runs": [
            {"board": board.slug, "method": method.name, "run": record.to_dict()}
            for board in study.boards
            for method in board.methods
            for record in method.runs
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _earlier(folder: Path) -> set[str]:
    """Files that an earlier report says it wrote here; nothing outside the folder."""
    try:
        names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    root = folder.resolve()
    return {name for name in names if isinstance(name, str) and (root / name).resolve().is_relative_to(root)}


def _pictures(drawings: Sequence[Drawing]) -> list[Picture]:
    return [drawing.item for drawing in drawings if isinstance(drawing.item, Picture)]


def _absent(tables: Sequence[Listed], drawings: Sequence[Drawing]) -> tuple[Absent, ...]:
    found = [table for _, table in tables if isinstance(table, Absent)]
    for drawing in drawings:
        if isinstance(drawing.item, Absent):
            prefix = f"{drawing.board.slug}: " if drawing.board else ""
            found.append(Absent(name=f"{prefix}{drawing.item.name}", reason=drawing.item.reason))
    return tuple(found)


def _relative(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()
