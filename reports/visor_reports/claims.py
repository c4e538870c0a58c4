"""The page of claims: for each one what is expected, what was measured, the verdict, and the commands that repeat it.

Everything but the notes is written anew each time; a note is free text between its two marks, and stays.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visor_eval.analysis import Interval
from visor_eval.analysis.claims.claim import Claim, Entry, Finding, Numbers, Unit
from visor_eval.records import RunRecord
from visor_reports.markdown import escape, markdown, provenance
from visor_reports.naming import options
from visor_reports.provenance import code_state
from visor_reports.table import EMPTY, Cell, Column, Kind, Row, Table

KINDS = {
    Unit.SCORE: Kind.SCORE,
    Unit.POINTS: Kind.DIFFERENCE,
    Unit.SAVING: Kind.SAVING,
    Unit.NUMBER: Kind.NUMBER,
    Unit.SIMILARITY: Kind.SCORE,
    Unit.COUNT: Kind.COUNT,
    Unit.PROBABILITY: Kind.PROBABILITY,
    Unit.TEXT: Kind.TEXT,
}
DIGITS = {Unit.SIMILARITY: 3}
_NOTE = re.compile(r"<!-- note (?P<name>[\w-]+): begin -->\n(?P<text>.*?)<!-- note (?P=name): end -->", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A claim and how to measure it again."""

    claim: Claim
    commands: tuple[str, ...]


def claims_page(sections: Sequence[Section], runs: Sequence[RunRecord], *, command: str, old: str = "") -> str:
    """The measured part of the page: an overview, a section per claim, provenance.

    Args:
        sections: in the order of the page.
        runs: the records that the numbers come from.
        command: what makes the page.
        old: the page as it was; notes are taken from it.
    """
    notes = notes_of(old)
    blocks = [_overview(sections), *(_section(one, notes.get(one.claim.name, "")) for one in sections)]
    lines = [("command", command), *((record.run_id, _run(record)) for record in runs)]
    return "\n\n".join([*blocks, provenance(lines)]) + "\n"


def notes_of(page: str) -> dict[str, str]:
    """What people wrote: name of a claim -> text."""
    return {found["name"]: found["text"].strip("\n") for found in _NOTE.finditer(page)}


def results(sections: Sequence[Section]) -> list[dict[str, object]]:
    """The same for machines: JSON values, tables left out."""
    return [
        {
            "claim": one.claim.name,
            "title": one.claim.title,
            "verdict": None if one.claim.verdict is None else str(one.claim.verdict),
            "missing": one.claim.missing,
            "findings": [_plain(finding) for finding in one.claim.findings],
            "beside": [_plain(finding) for finding in one.claim.beside],
            "commands": list(one.commands),
        }
        for one in sections
    ]


def _plain(finding: Finding) -> dict[str, object]:
    measured = finding.measured
    numbers = {} if measured is None else {key: getattr(measured, key) for key in ("estimate", "low", "high")}
    return {
        "asked": finding.asked,
        "target": finding.target,
        **{key: None if math.isnan(value) else round(value, 6) for key, value in numbers.items()},
        "verdict": str(finding.verdict),
        "remark": finding.remark,
    }


def _overview(sections: Sequence[Section]) -> str:
    judged = [one.claim for one in sections if one.claim.judged]
    lines = ["| claim | | verdict |", "|---|---|---|"]
    lines += [f"| [{one.name}](#{_anchor(one)}) | {escape(one.title)} | **{one.verdict}** |" for one in judged]
    return "\n".join(lines)


def _heading(claim: Claim) -> str:
    return f"{claim.name}: {claim.title}"


def _anchor(claim: Claim) -> str:
    """As GitHub makes it of the heading."""
    return re.sub(r"[^\w\- ]", "", _heading(claim).lower()).replace(" ", "-")


def _section(section: Section, note: str) -> str:
    claim = section.claim
    blocks = [f"## {_heading(claim)}", f"**Expected.** {escape(claim.expected)}"]
    if claim.judged:
        blocks.append(f"**Verdict: {claim.verdict}**" + (f" ({escape(claim.missing)})." if claim.missing else "."))
    elif claim.missing:
        blocks.append(f"Not measured: {escape(claim.missing)}.")
    if claim.findings:
        blocks.append(_findings("Measured", claim.findings))
    if claim.beside:
        blocks.append(_findings("Beside it, not counted", claim.beside))
    blocks += [_table(numbers) for numbers in claim.tables]
    if section.commands:
        typed = "\n".join(section.commands)
        blocks.append(f"```bash\n{typed}\n```")
    kept = f"{note}\n" if note else ""
    blocks.append(f"<!-- note {claim.name}: begin -->\n{kept}<!-- note {claim.name}: end -->")
    return "\n\n".join(blocks)


def _findings(title: str, findings: Sequence[Finding]) -> str:
    rows = tuple(
        Row(
            cells=(
                Cell(value=finding.asked),
                Cell(value=finding.target),
                _cell(finding.measured, finding.unit),
                Cell(value=str(finding.verdict)),
                Cell(value=finding.remark),
            )
        )
        for finding in findings
    )
    columns = tuple(
        Column(header=header, kind=kind)
        for header, kind in (
            ("what", Kind.TEXT),
            ("target", Kind.TEXT),
            ("measured", Kind.NUMBER),
            ("", Kind.TEXT),
            ("remark", Kind.TEXT),
        )
    )
    return markdown(Table(name="findings", title=title, caption="", columns=columns, rows=rows)).strip()


def _table(numbers: Numbers) -> str:
    columns = tuple(Column(header=header, kind=KINDS[unit]) for header, unit in numbers.columns)
    units = [unit for _, unit in numbers.columns]
    rows = tuple(
        Row(cells=tuple(_cell(entry, unit) for entry, unit in zip(entries, units, strict=True)))
        for entries in numbers.rows
    )
    table = Table(name="numbers", title=numbers.title, caption=numbers.caption, columns=columns, rows=rows)
    return markdown(table).strip()


def _cell(entry: Entry, unit: Unit) -> Cell:
    if entry is None:
        return EMPTY
    if isinstance(entry, str):
        return Cell(value=entry, kind=Kind.TEXT)
    kind, digits = KINDS[unit], DIGITS.get(unit)
    if isinstance(entry, Interval):
        return Cell(value=entry.estimate, interval=entry, kind=kind, digits=digits)
    return Cell(value=entry, kind=kind, digits=digits)


def _run(record: RunRecord) -> str:
    made = record.provenance
    return (
        f"{record.model}{options(record)} on {record.checkpoint} (weights {record.weights_hash[:12]}, suite "
        f"{record.suite_hash[:12]}); {code_state(made.commit, made.dirty)}; {made.device}; {record.started_utc}"
    )


def overview(runs: Sequence[RunRecord]) -> Mapping[str, str]:
    """Checkpoint -> hash of its weights."""
    return {record.checkpoint: record.weights_hash for record in runs}
