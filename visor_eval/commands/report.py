"""`visor-eval report`: tables, figures and a page out of everything under a results folder."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_verbose, flag
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_reports.reading import Facts
    from visor_reports.report import Written
    from visor_reports.study import Study

REPORT_FOLDER = "report"


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "report",
        help="tables, figures and a page out of a results folder",
        description="Turn everything under a results folder into tables (Markdown, LaTeX, CSV), figures (PDF, PNG, "
        "SVG) and one HTML page. Every number is recomputed from samples; no model is run.",
    )
    parser.add_argument("results", nargs="?", default=Path("results"), type=Path, help="default: results")
    flag(parser, "--output_path", type=Path, metavar="DIR", help="default: the folder report/ in the results folder")
    parser.add_argument(
        "--compare", nargs=2, metavar=("RUN_A", "RUN_B"), help="paired differences B less A; runs or methods by name"
    )
    parser.add_argument(
        "--logs",
        nargs="+",
        default=[],
        type=Path,
        metavar="PATH",
        help="plain lmms-eval logs (*_samples_*.jsonl, or folders with them) as further rows",
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="what checkpoints are built on whose name does not tell, e.g. llava-ov-0.5b: places the paper's values "
        "beside them",
    )
    flag(
        parser,
        "--training_data",
        metavar="RUN=PERCENT,...",
        help="share of the training data that a run's (or method's, checkpoint's) weights saw",
    )
    flag(parser, "--no_figures", action="store_true", help="tables and page only")
    flag(
        parser,
        "--samples_per_task",
        type=int,
        default=40,
        metavar="N",
        help="questions per task in the page's sample browser, evenly spaced; 0: all; default 40",
    )
    flag(parser, "--no_page", action="store_true", help="no HTML page")
    add_verbose(parser)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Read, write, and say what was left out."""
    from visor_reports.comparing import CompareError, compare_runs
    from visor_reports.lmms_logs import LogError
    from visor_reports.plain import plain
    from visor_reports.reading import read_study
    from visor_reports.report import write_report
    from visor_reports.table import Kind

    results = options.results
    if not results.is_dir():
        raise SetupError(f"{results} is not a folder; runs are written by visor-eval run --output_path {results}")
    if options.samples_per_task < 0:
        raise SetupError("--samples_per_task: give a number of questions, or 0 for all")
    missing = [str(path) for path in options.logs if not path.exists()]
    if missing:
        raise SetupError(f"--logs {' '.join(missing)}: no such file or folder")
    try:
        study = read_study(results, logs=options.logs, facts=_facts(options))
    except LogError as error:
        raise SetupError(f"--logs: {error}") from None
    extra = []
    if options.compare is not None:
        try:
            extra.append(compare_runs(study, *options.compare))
        except CompareError as error:
            raise SetupError(f"--compare: {error.args[0]}") from None
        say(plain(extra[0][1], intervals=(Kind.DIFFERENCE,)))
    folder = options.output_path or results / REPORT_FOLDER
    try:
        written = write_report(
            study,
            folder,
            extra=extra,
            figures=not options.no_figures,
            page=not options.no_page,
            samples_per_task=options.samples_per_task or None,
        )
    except OSError as error:
        raise SetupError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    say("\n".join(_lines(study, written)))
    return 0


def _facts(options: argparse.Namespace) -> "Facts":
    from visor_reports.reading import Facts

    return Facts(backbone=options.backbone, training_data=_percents(options.training_data))


def _percents(text: str | None) -> Mapping[str, float]:
    found = {}
    for part in text.split(",") if text else ():
        name, equals, number = part.rpartition("=")
        try:
            found[name.strip()] = float(number.rstrip("% "))
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise SetupError(f"--training-data {part!r}: give RUN=PERCENT, such as visor=50")
    return found


def _lines(study: "Study", written: "Written") -> list[str]:
    """What a user has to know: what is in the report, what is not, where it lies."""
    lines = []
    for board in study.boards:
        lines.append(f"{board.title}: {', '.join(method.name for method in board.methods) or 'no runs'}")
        if board.sweeps:
            lines.append(f"  sweeps: {', '.join(sweep.run.run_id for sweep in board.sweeps)}")
    if not study.boards:
        lines.append(f"no finished run in {study.root}")
    lines += [f"skipped {item.name}: {item.reason}" for item in study.skipped]
    lines += [f"superseded {old}: {new} is newer and has the same settings" for old, new in study.superseded.items()]
    lines.append(
        f"{written.tables} tables, {written.figures} figures; {len(written.absent)} not made because what they show "
        "was not measured (listed in report.md)"
    )
    page = [name for name in written.files if name.endswith(".html")]
    opened = page[0] if page else "report.md"
    lines.append(f"written: {written.folder / opened}, and {len(written.files) - 1} files beside it")
    return lines
