"""`visor-eval flops`: what methods cost and save, in closed form. No weights, no torch."""

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_verbose, flag, names
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.analysis.counter import Count
    from visor_eval.cost.estimate import Text
    from visor_eval.cost.shapes import BackboneShape
    from visor_reports.table import Table

FORMATS = ("text", "csv", "markdown", "latex")
STEPS = 10  # numbers in a range without a step
SHOWN = 2  # numbers of vision tokens side by side in a table: the ends of a range
LARGEST = 10_000_000  # vision tokens: more is a typing error


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "flops",
        help="what methods cost and save, in closed form: no weights, no GPU, under a second",
        description="Count FLOPs of every method in every setting, for numbers of vision tokens or for images of known "
        "sizes. Conventions: docs/flops.md.",
        epilog="Example: visor-eval flops --backbone llava-ov-0.5b,qwen2-vl-2b --method all --vision-tokens 729:7290",
    )
    parser.add_argument(
        "--backbone", default="llava-ov-0.5b", help="shapes, comma-separated, or all; default llava-ov-0.5b"
    )
    parser.add_argument(
        "--method", default="all", help="methods and compositions (visor+visionzip), comma-separated, or all"
    )
    flag(parser, "--model_args", metavar="K=V,...", help="settings of the methods, e.g. factor=16")
    flag(
        parser,
        "--vision_tokens",
        default="729:7290",
        metavar="N[,N...]",
        help="of the dense model: numbers, ranges a:b (10 steps, even on a logarithmic scale) or a:b:step; "
        "default 729:7290",
    )
    flag(parser, "--text_tokens", type=int, default=32, metavar="N", help="text tokens of the prompt; default 32")
    flag(parser, "--prefix_tokens", type=int, default=0, metavar="N", help="those before the image; default 0")
    flag(parser, "--generated_tokens", type=int, default=8, metavar="N", help="length of the answer; default 8")
    parser.add_argument("--unit", choices=("flops", "macs"), default="flops", help="a multiply-add is 2 FLOPs, 1 MAC")
    parser.add_argument("--components", action="store_true", help="print each component too, prefill and decode")
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="instead of vision tokens: folders of pictures, Parquet or CSV files with pictures or sizes; each is a "
        "dataset, and only sizes are read",
    )
    parser.add_argument("--column", help="the column of pictures or sizes; default: height and width, size, or image")
    parser.add_argument("--format", choices=FORMATS, default="text", help="what is printed; default text")
    flag(parser, "--output_path", type=Path, metavar="DIR", help="write flops.csv, flops.md and flops.tex there")
    parser.add_argument("--figure", type=Path, metavar="DIR", help="draw FLOPs against vision tokens there")
    add_verbose(parser)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Count and print.

    Raises:
        SetupError: names, numbers or files that cannot be used; the message says which, and what to do.
    """
    from visor_eval.cost.estimate import Text

    shapes = _backbones(options.backbone)
    try:
        text = Text(prompt=options.text_tokens, prefix=options.prefix_tokens, generated=options.generated_tokens)
    except ValueError as error:
        raise SetupError(f"--text_tokens, --prefix_tokens, --generated_tokens: {error}") from error
    if options.images:
        return _of_images(options, shapes, text)
    if options.column:
        raise SetupError("--column names a column of --images: give --images too, or leave it out")
    return _of_tokens(options, shapes, text)


def token_numbers(text: str) -> tuple[int, ...]:
    """Read ``--vision-tokens``: numbers, ``a:b`` and ``a:b:step``, ascending, each once.

    Raises:
        SetupError: anything else.
    """
    numbers: set[int] = set()
    for piece in names(text):
        parts = piece.split(":")
        if not all(part.isdigit() for part in parts) or not 1 <= len(parts) <= 3:
            raise SetupError(f"--vision_tokens {piece}: give numbers, a:b, or a:b:step, such as 729:7290:729")
        first, last, step = int(parts[0]), int(parts[min(1, len(parts) - 1)]), int(parts[2]) if len(parts) == 3 else 0
        if not 1 <= first <= last <= LARGEST or (len(parts) == 3 and step < 1):
            raise SetupError(f"--vision_tokens {piece}: 1 <= a <= b <= {LARGEST:,} and a step of at least 1 are needed")
        if step:
            if (last - first) // step >= 1000:
                raise SetupError(f"--vision_tokens {piece}: that is more than 1,000 numbers; take a larger step")
            numbers.update(range(first, last + 1, step))
        else:
            numbers.update(round(first * (last / first) ** (index / (STEPS - 1))) for index in range(STEPS))
    if not numbers:
        raise SetupError("--vision_tokens is empty: give a number such as 7290")
    return tuple(sorted(numbers))


def _of_tokens(options: argparse.Namespace, shapes: "Sequence[BackboneShape]", text: "Text") -> int:
    from visor_eval.analysis.counter import count
    from visor_eval.harness.settings import parse_options
    from visor_reports.cost_tables import UNITS, component_tables, cost_csv, savings_tables

    methods, notes = _methods(options.method)
    unit = UNITS[options.unit]
    tokens = token_numbers(options.vision_tokens)
    if options.figure is not None and len(tokens) < 2:
        raise SetupError("--figure needs a range of vision tokens, such as --vision_tokens 729:7290")
    counted = count(shapes, methods, tokens, text, parse_options(options.model_args))
    if not counted.lines:
        raise SetupError("; ".join(dict.fromkeys(counted.skipped.values())))
    notes = [*notes, *(f"Left out: {reason}." for reason in dict.fromkeys(counted.skipped.values()))]
    shown = tokens if len(tokens) <= SHOWN else (tokens[0], tokens[-1])
    tables = savings_tables(counted, shown, unit)
    if options.components or options.output_path is not None:
        components = component_tables(counted, shown[-1:], unit)
    else:
        components = []
    if options.format == "csv":
        say(cost_csv(counted, unit).rstrip("\n"))
    else:
        _print([*tables, *(components if options.components else [])], options.format, notes)
    written: list[Path] = []
    if options.output_path is not None:
        written += _write(options.output_path, [*tables, *components], notes, cost_csv(counted, unit))
    if options.figure is not None:
        written += _draw(options.figure, counted, options.unit)
    _say_written(written, options.format)
    return 0


def _of_images(options: argparse.Namespace, shapes: "Sequence[BackboneShape]", text: "Text") -> int:
    from visor_eval.analysis.image_savings import image_savings
    from visor_eval.analysis.image_sizes import read_image_sets
    from visor_eval.cost.variants import variants
    from visor_eval.harness.settings import parse_options
    from visor_reports.cost_tables import image_tables
    from visor_reports.csv_form import csv_text

    if options.figure is not None:
        raise SetupError("--figure draws a range of --vision-tokens: leave out --images, or --figure")
    methods, notes = _methods(options.method)
    chosen = [(shape, variants(methods, shape, parse_options(options.model_args))) for shape in shapes]
    sets = read_image_sets(options.images, options.column)
    tables: list[Table] = []
    for shape, found in chosen:
        try:
            savings = image_savings(shape, found, sets, text)
        except ValueError as error:
            raise SetupError(f"{shape.name}: {error}") from error
        tables += image_tables(savings, shape.name)
    if options.format == "csv":
        say("\n".join(csv_text(table) for table in tables).rstrip("\n"))
    else:
        _print(tables, options.format, notes)
    written: list[Path] = []
    if options.output_path is not None:
        folder = _folder(options.output_path)
        for table in tables:
            written.append(folder / f"{table.name}.csv")
            written[-1].write_text(csv_text(table), encoding="utf-8")
        written += _write(folder, tables, notes, None)
    _say_written(written, options.format)
    return 0


def _backbones(text: str) -> "list[BackboneShape]":
    from visor_eval.cost.shapes import BACKBONES

    chosen = tuple(BACKBONES) if text == "all" else names(text)
    if not chosen:
        raise SetupError(f"--backbone is empty: give one or more of {', '.join(BACKBONES)}")
    for name in chosen:
        if name not in BACKBONES:
            close = difflib.get_close_matches(name, BACKBONES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(BACKBONES)}, all"
            raise SetupError(f"--backbone: unknown backbone {name!r}; {hint}")
    return [BACKBONES[name] for name in dict.fromkeys(chosen)]


def _methods(text: str) -> tuple[tuple[str, ...], list[str]]:
    """(names, what to say about them)."""
    from visor_eval.cost.variants import distinct_methods

    if text != "all":
        if not (chosen := tuple(dict.fromkeys(names(text)))):
            raise SetupError("--method is empty: give all, or names such as visor,visionzip")
        return chosen, []
    distinct, same = distinct_methods()
    return distinct, [f"Same cost: {name} as {other}." for name, other in same.items()]


def _print(tables: "Sequence[Table]", form: str, notes: Sequence[str]) -> None:
    from visor_reports.cost_tables import CONVENTIONS, NOT_COUNTED_LINE

    lines = [CONVENTIONS, NOT_COUNTED_LINE, *notes]
    if form == "text":
        from visor_reports.plain import plain

        told = [textwrap.fill(line, 120) for line in lines]
        say("\n\n".join([*(plain(table) for table in tables), "\n".join(told)]))
    elif form == "markdown":
        say(_markdown(tables, lines).rstrip("\n"))
    else:
        say(_latex(tables, lines).rstrip("\n"))


def _markdown(tables: "Sequence[Table]", lines: Sequence[str]) -> str:
    from visor_reports.markdown import escape, markdown

    return "\n".join([*(markdown(table) for table in tables), *(f"{escape(line)}\n" for line in lines)])


def _latex(tables: "Sequence[Table]", lines: Sequence[str]) -> str:
    from visor_reports.latex import latex

    return "\n".join([*(f"% {line}" for line in lines), *(latex(table) for table in tables)])


def _write(folder: Path, tables: "Sequence[Table]", notes: Sequence[str], csv_text: str | None) -> list[Path]:
    from visor_reports.cost_tables import CONVENTIONS, NOT_COUNTED_LINE

    folder, lines = _folder(folder), [CONVENTIONS, NOT_COUNTED_LINE, *notes]
    texts = {"flops.md": _markdown(tables, lines), "flops.tex": _latex(tables, lines)}
    if csv_text is not None:
        texts["flops.csv"] = csv_text
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in texts]


def _draw(folder: Path, counted: "Count", unit_name: str) -> list[Path]:
    from visor_reports import style
    from visor_reports.cost_tables import UNITS
    from visor_reports.figures.canvas import write_figure
    from visor_reports.figures.vision_length import NAME, TITLE, caption, vision_length

    unit = UNITS[unit_name]
    with style.styled():
        drawn = vision_length(counted, unit)
        picture = write_figure(drawn, _folder(folder), NAME, title=TITLE, caption=caption(counted, unit))
    return list(picture.files.values())


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{path}: cannot be a folder to write to ({error.strerror}): name another one") from error
    return path


def _say_written(written: Sequence[Path], form: str) -> None:
    if written:
        from visor_eval.commands.console import warn

        (say if form == "text" else warn)("written: " + ", ".join(map(str, written)))
