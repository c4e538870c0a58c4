"""One table in every form: nothing is lost, nothing from data is taken for markup, empty stays empty."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.analysis import Interval
from visor_reports import csv_form, latex, markdown
from visor_reports.plain import plain
from visor_reports.table import Cell, Change, Column, Kind, Rank, Row, Style, Table, ranked

EVIL = [
    r"\input{/etc/passwd} \write18{rm} % & _ # $x$ ~ ^ {a} \\",
    "<script>alert(1)</script> & <img src=x onerror=alert(1)>",
    "| a | b |\n| -- | -- |\n# heading `code` *bold* [link](javascript:x) ![i](x)",
    '=HYPERLINK("http://x")',
    "überlang ẞ 漢字 🦜 \u202e rtl \u2028 \x00\x07",
    '"quoted", comma; newline\r\nnext',
    "-- --- ?` !` fi <<>> ''",
]


def table(texts: list[str]) -> Table:
    interval = Interval(estimate=61.25, low=-3.0, high=70.0)
    rows = [
        Row(
            cells=(
                Cell(value=one, notes=(one,)),
                Cell(value=61.25, interval=interval, rank=Rank.BEST, change=Change.BETTER),
                Cell(),
            )
        )
        for one in texts
    ]
    rows.append(
        Row(
            cells=(
                Cell(value="last"),
                Cell(value=1.5, rank=Rank.SECOND, change=Change.WORSE, notes=("n",)),
                Cell(value=5.7),
            ),
            printed=True,
            rule=True,
        )
    )
    columns = (
        Column(header=texts[0]),
        Column(header="score", kind=Kind.SCORE, span=texts[-1]),
        Column(header="s", kind=Kind.SAVING),
    )
    return Table(name="some-table", title=texts[0], caption=texts[-1], columns=columns, rows=tuple(rows))


ALLOWED = {  # every command that a table may hold
    *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "multicolumn", "cmidrule"),
    *("textbf", "textit", "underline", "textsuperscript", "shortstack", "tiny", "par", "smallskip", "linewidth"),
    *("footnotesize", "fbox", "resizebox", "ensuremath", "times", "geq", "leq", "neq", "rightarrow", "cdot", "alpha"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "textquotedbl"),
    *("textquotesingle", "textasciigrave", "textendash", "textemdash", "textquoteleft", "textquoteright", "dots"),
    *("textquotedblleft", "textquotedblright", "textdagger", "delta", "Delta", "triangle", "triangledown"),
    *("setbox", "hbox", "ifdim", "wd", "ht", "dp", "dimexpr", "relax", "fi", "box", "leavevmode", "textheight"),
    "scriptsize",
}


def check_latex(source: str, columns: int) -> None:
    """Balanced braces and environments, only known commands, no character that TeX takes for its own, right columns."""
    body = re.sub(r"(?m)^%.*$", "", source)
    body = re.sub(r"(?m)(?<=[{}])%$", "", body)  # our own line ends
    bare = re.sub(r"\\(?:[{}$&%#_,]|\\)", "", body)
    assert "\\" not in re.sub(r"\\[a-zA-Z]+", "", bare)
    assert set(re.findall(r"\\([a-zA-Z]+)", bare)) <= ALLOWED
    assert not set("$#~^\"'`%") & set(re.sub(r"\\[a-zA-Z]+", "", bare))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    open_: list[str] = []
    for command, name in re.findall(r"\\(begin|end)\{([a-z]+)\}", body):
        open_.append(name) if command == "begin" else assert_equal(open_.pop(), name)
    assert open_ == []
    inner = body[body.index("\\toprule") : body.index("\\bottomrule")]
    for line in inner.splitlines():
        if line.endswith(r" \\"):
            spans = re.findall(r"\\multicolumn\{(\d+)\}", line)
            unescaped = re.sub(r"\\&", "", line)
            assert unescaped.count(" & ") + 1 + sum(int(span) - 1 for span in spans) == columns


def assert_equal(left: str, right: str) -> None:
    assert left == right


def test_latex_of_hostile_texts() -> None:
    check_latex(latex.latex(table(EVIL), [("command", EVIL[0]), ("b", EVIL[4])]), 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_latex_of_any_text(texts) -> None:
    check_latex(latex.latex(table(texts)), 3)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here; .ci/run installs one")
def test_latex_compiles(tmp_path) -> None:
    from visor_reports.tables import paper_tables

    source = latex.document([table(EVIL), *paper_tables()], [("command", EVIL[0]), ("made", EVIL[4])])
    (tmp_path / "all.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_markdown_of_hostile_texts() -> None:
    shown = markdown.markdown(table(EVIL), [("command", EVIL[1])])
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) == len(EVIL) + 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    tags = set(re.findall(r"<(/?[a-z]+)", shown))
    assert tags <= {"sup", "/sup", "sub", "/sub", "br", "u", "/u", "details", "/details", "summary", "/summary"}
    assert not re.search(r"(?<!\\)\]\(", shown)
    assert not re.search(r"(?<!\\)`", shown)
    assert "\u2028" not in shown


def test_markdown_marks() -> None:
    last = next(line for line in markdown.markdown(table(["a"])).splitlines() if "last" in line)
    assert last == "| _last_ | <u>1.5</u> ▼<sup>2</sup> | _5.70\u00d7_ |"
    first = next(line for line in markdown.markdown(table(["a"])).splitlines() if line.startswith("| a<sup>"))
    assert "**61.2** ▲<br><sub>\u22123.0\u201370.0</sub>" in first
    assert first.endswith("|  |")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_csv_reads_back(texts) -> None:
    lines = list(csv.reader(io.StringIO(csv_form.csv_text(table(texts)))))
    assert len(lines) == len(texts) + 2
    assert len({len(line) for line in lines}) == 1
    assert not any(cell[:1] in ("=", "@", "+", "\t") for line in lines for cell in line)


def test_csv_holds_unrounded_numbers_and_ends() -> None:
    header, first, last = csv.reader(io.StringIO(csv_form.csv_text(table(["a"]))))
    assert header == ["a", "a score", "a score_low", "a score_high", "a score_mark", "s", "printed", "notes"]
    assert first == ["a", "61.25", "-3.0", "70.0", "best better", "", "no", "a"]
    assert last == ["last", "1.5", "", "", "second worse", "5.7", "yes", "n"]
    assert json.loads(csv_form.metadata(table(["a"]), [("x", "y")]))["provenance"] == [{"name": "x", "value": "y"}]


def test_terminal_text() -> None:
    shown = plain(table(["a"]))
    assert shown.splitlines()[0] == "a"
    assert "61.2 (-3.0 - 70.0) +\n" in shown.replace("  ", "")
    assert "61.2 +" in plain(table(["a"]), intervals=())


def test_numbers_as_written() -> None:
    style = Style()
    for value, kind, expected in (
        (5.0, Kind.SAVING, "5.00x"),
        (float("inf"), Kind.SAVING, "inf"),
        (-0.04, Kind.DIFFERENCE, "0.0"),
        (0.05001, Kind.DIFFERENCE, "+0.1"),
        (-2.0, Kind.DIFFERENCE, "-2.0"),
        (0.0004, Kind.PROBABILITY, "< 0.001"),
        (0.0451, Kind.PROBABILITY, "0.045"),
        (12345.6, Kind.NUMBER, "12346"),
        (0.01234, Kind.NUMBER, "0.0123"),
        (float("nan"), Kind.SCORE, ""),
        (None, Kind.SCORE, ""),
        (50.0, Kind.PERCENT, "50 %"),
        (3.0, Kind.COUNT, "3"),
    ):
        assert style.number(value, kind) == expected


def test_an_interval_without_width_is_not_repeated() -> None:
    column = Column(header="s", kind=Kind.SAVING)
    wide, flat = (Cell(value=12.0, interval=Interval(12.0, 12.0 - d, 12.0 + d)) for d in (0.1, 0.001))
    assert (Style().ends(wide, column), Style().ends(flat, column)) == ("11.90 - 12.10", "")


def test_ranks_share_equal_places_and_leave_printed_rows_alone() -> None:
    columns = (Column(header="m"), Column(header="s", kind=Kind.SCORE))
    values = [(70.04, False), (70.01, False), (60.0, False), (99.0, True), (None, False)]
    rows = [Row(cells=(Cell(value="m"), Cell(value=v)), printed=printed) for v, printed in values]
    marks = [row.cells[1].rank for row in ranked(rows, columns)]
    assert marks == [Rank.BEST, Rank.BEST, Rank.SECOND, None, None]
    assert [row.cells[1].rank for row in ranked(rows[:2], columns)] == [None, None]


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="row 1: 1 cells for 2 columns"):
        Table(name="t", title="", caption="", columns=(Column(header="a"),) * 2, rows=(Row(cells=(Cell(),)),))
