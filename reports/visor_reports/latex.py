r"""A table as LaTeX with booktabs: ``\input`` it into a paper, or compile the whole document that ``document`` makes.

Every text is escaped; letters outside Latin-1 that the standard fonts lack become a question mark in a box rather than
an error. Needs the packages booktabs and, for wide tables, graphicx; both are in every TeX distribution.
"""

import unicodedata
from collections.abc import Sequence

from visor_reports.table import Cell, Change, Column, Kind, Rank, Row, Style, Table

STYLE = Style(minus="\u2212", times="\u00d7", dash="\u2013")

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": r"{-}",  # no ligature: -- must stay two signs
    "[": r"{[}",  # not the argument of a line break
    "]": r"{]}",
    "\u2212": r"\ensuremath{-}",
    "\u00d7": r"\ensuremath{\times}",
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2018": r"\textquoteleft{}",
    "\u2019": r"\textquoteright{}",
    "\u201c": r"\textquotedblleft{}",
    "\u201d": r"\textquotedblright{}",
    "\u2026": r"\dots{}",
    "\u2265": r"\ensuremath{\geq}",
    "\u2264": r"\ensuremath{\leq}",
    "\u2260": r"\ensuremath{\neq}",
    "\u2192": r"\ensuremath{\rightarrow}",
    "\u00b7": r"\ensuremath{\cdot}",
    "\u2020": r"\textdagger{}",
    "\u03b1": r"\ensuremath{\alpha}",
    "\u03b4": r"\ensuremath{\delta}",
    "\u0394": r"\ensuremath{\Delta}",
}
_LETTERS = frozenset("ßäöüÄÖÜéèêëáàâíìîïóòôúùûñçÇÉÈÊËÁÀÂÍÌÎÏÓÒÔÚÙÛÑåÅøØæÆ°²³µ±§")  # inputenc utf8 has them with T1
_CHANGES = {Change.BETTER: r"\,\ensuremath{\triangle}", Change.WORSE: r"\,\ensuremath{\triangledown}"}
_FIT = r"""\ifdim\wd0>\linewidth\setbox0=\hbox{\resizebox{\linewidth}{!}{\box0}}\fi
\ifdim\dimexpr\ht0+\dp0\relax>.75\textheight\setbox0=\hbox{\resizebox*{!}{.75\textheight}{\box0}}\fi
\leavevmode\box0"""  # shrunk to the line and the page where it is larger, otherwise as it is

PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{amsmath,amssymb}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\setlength{\parindent}{0pt}
"""


def latex(table: Table, lines: Sequence[tuple[str, str]] = ()) -> str:
    r"""Return one ``table`` environment; ``\label{tab:<name>}``.

    Args:
        table: what to write.
        lines: the provenance block, as (name, value); written as comments.
    """
    notes = table.notes
    columns = table.columns
    spec = "".join("l" if column.kind is Kind.TEXT else "r" for column in columns)
    body = [r"\toprule", *_headers(columns), r"\midrule"]
    for row in table.rows:
        body += [r"\midrule"] if row.rule else []
        body.append(_row(columns, row, notes))
    body.append(r"\bottomrule")
    inner = "\n".join([f"\\begin{{tabular}}{{@{{}}{spec}@{{}}}}", *body, r"\end{tabular}"])
    fitted = f"\\setbox0=\\hbox{{%\n{inner}%\n}}%\n{_FIT}"
    parts = [
        *(f"% {_comment(name)}: {_comment(value)}" for name, value in lines),
        r"\begin{table}[htbp]",
        r"\centering",
        f"\\caption{{{escape(_sentence(table.title))} {escape(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        fitted,
    ]
    if notes:
        told = " ".join(f"\\textsuperscript{{{number}}}\\,{escape(note)}" for number, note in enumerate(notes, 1))
        parts.append(f"\\par\\smallskip\\begin{{minipage}}{{\\linewidth}}\\footnotesize {told}\\end{{minipage}}")
    return "\n".join([*parts, r"\end{table}"]) + "\n"


def document(tables: Sequence[Table], lines: Sequence[tuple[str, str]] = ()) -> str:
    """Return a whole document with all tables, that compiles on its own."""
    told = "\\\\\n".join(f"{escape(name)}: {escape(value)}" for name, value in lines)
    blocks = [PREAMBLE, r"\begin{document}"]
    if told:
        blocks.append(f"\\begingroup\\footnotesize\\raggedright\n{told}\\par\\endgroup\n\\clearpage")
    blocks += [f"{latex(table)}\\clearpage" for table in tables]
    return "\n".join([*blocks, r"\end{document}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    flat = " ".join(text.split())
    return "".join(_escaped(character) for character in unicodedata.normalize("NFC", flat))


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if (character.isascii() and character.isprintable()) or character in _LETTERS:
        return character
    return r"\fbox{\tiny ?}"


def _comment(text: str) -> str:
    """Text within a comment: one line, nothing that ends it."""
    return " ".join(text.split()).encode("ascii", "replace").decode()


def _sentence(title: str) -> str:
    return title if title.endswith((".", "?", "!")) else f"{title}."


def _headers(columns: Sequence[Column]) -> list[str]:
    """One or two header lines: spans over neighbours that share them."""
    lines = []
    if any(column.span for column in columns):
        cells, rules, start = [], [], 0
        while start < len(columns):
            span = columns[start].span
            end = start + 1
            while span and end < len(columns) and columns[end].span == span:
                end += 1
            cells.append(f"\\multicolumn{{{end - start}}}{{c}}{{{escape(span)}}}" if span else "")
            if span:
                rules.append(f"\\cmidrule(lr){{{start + 1}-{end}}}")
            start = end
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    lines.append(" & ".join(escape(column.header) for column in columns) + r" \\")
    return lines


def _row(columns: Sequence[Column], row: Row, notes: Sequence[str]) -> str:
    cells = [_cell(cell, column, notes, printed=row.printed) for cell, column in zip(row.cells, columns, strict=True)]
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell, column: Column, notes: Sequence[str], *, printed: bool) -> str:
    text = escape(STYLE.cell(cell, column))
    numbers = ",".join(str(notes.index(note) + 1) for note in dict.fromkeys(cell.notes))
    marks = f"\\textsuperscript{{{numbers}}}" if numbers else ""
    if not text:
        return marks
    if cell.rank is Rank.BEST:
        text = f"\\textbf{{{text}}}"
    elif cell.rank is Rank.SECOND:
        text = f"\\underline{{{text}}}"
    if printed:
        text = f"\\textit{{{text}}}"
    text += _CHANGES[cell.change] if cell.change is not None else ""
    ends = escape(STYLE.ends(cell, column))
    if not ends:
        return text + marks
    return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{text}{marks}\\\\[-0.6ex]{{\\scriptsize {ends}}}\\end{{tabular}}"
