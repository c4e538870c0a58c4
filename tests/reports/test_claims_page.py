"""The page of claims: verdicts, numbers with intervals, notes that stay, results for machines."""

import json
import math

from tests.records.examples import run
from visor_eval.analysis import Interval
from visor_eval.analysis.claims import Claim, Finding, Numbers, Unit, Verdict
from visor_reports.claims import Section, claims_page, notes_of, results

DASH, TIMES = "\u2013", "\u00d7"
FINDING = Finding(
    asked="hard: 2 to 7 layers",
    target="at least 8",
    measured=Interval(9.25, 6.5, 12.0),
    unit=Unit.POINTS,
    verdict=Verdict.HOLDS,
    remark="the target lies within the interval",
)
NUMBERS = Numbers(
    title="By size",
    caption="Means.",
    columns=(("", Unit.TEXT), ("score", Unit.SCORE), ("saving", Unit.SAVING), ("CKA", Unit.SIMILARITY)),
    rows=(("2 layers", Interval(50.0, 45.04, 55.0), 5.5, 0.12345), ("7 layers", None, None, None)),
)
C3 = Claim(name="C3", title="hard rises", expected="8 points", findings=(FINDING,), tables=(NUMBERS,))
ROWS = Claim(name="Headline", title="rows", expected="two seeds", judged=False, missing="nothing was run")
OPEN = Claim(name="C1", title="layer 1", expected="a loss", missing="no weights")


def sections(*given: Claim) -> list[Section]:
    return [Section(claim=one, commands=("visor-eval oracle --model visor",)) for one in given]


def page(*given: Claim, old: str = "") -> str:
    return claims_page(sections(*given), [run(run_id="r1")], command="python -m benchmarks.claims", old=old)


def test_everything_is_there():
    text = page(C3, ROWS, OPEN)
    assert "| [C3](#c3-hard-rises) | hard rises | **holds** |" in text
    assert "| [C1](#c1-layer-1) | layer 1 | **not decidable here** |" in text
    assert "[Headline]" not in text  # rows to look at have no verdict
    assert "**Verdict: holds**." in text
    assert "**Verdict: not decidable here** (no weights)." in text
    assert "Not measured: nothing was run." in text
    assert f"\\+9.2<br><sub>+6.5{DASH}+12.0</sub> | holds | the target lies within the interval |" in text
    assert f"| 2 layers | 50.0<br><sub>45.0{DASH}55.0</sub> | 5.50{TIMES} | 0.123 |" in text
    assert "| 7 layers |  |  |  |" in text
    assert "```bash\nvisor-eval oracle --model visor\n```" in text
    assert "- r1: visor on embedded:visor (weights ab, suite cd)" in text


def test_notes_stay_and_nothing_else_does():
    first = page(C3, OPEN)
    assert notes_of(first) == {"C3": "", "C1": ""}
    mark = "<!-- note C3: begin -->\n"
    written = first.replace(mark, f"{mark}Tried with *more* steps.\n\nNo change.\n").replace("hard rises", "old title")
    second = page(C3, OPEN, old=written)
    assert notes_of(second)["C3"] == "Tried with *more* steps.\n\nNo change."
    assert "old title" not in second
    assert page(C3, OPEN, old=second) == second
    assert page(OPEN, C3, old=second).count("No change.") == 1


def test_results_for_machines():
    unknown = Finding(
        asked="p",
        target="at most 0.05",
        measured=Interval(0.002, math.nan, math.nan),
        unit=Unit.PROBABILITY,
        verdict=Verdict.OPEN,
    )
    both = Claim(name="C7", title="oracle", expected="", findings=(FINDING, unknown))
    found = json.loads(json.dumps(results(sections(both, ROWS)), allow_nan=False))
    assert [one["verdict"] for one in found] == ["not decidable here", None]
    assert found[0]["findings"][0]["estimate"] == 9.25
    assert found[0]["findings"][1] == {
        "asked": "p",
        "target": "at most 0.05",
        "estimate": 0.002,
        "low": None,
        "high": None,
        "verdict": "not decidable here",
        "remark": "",
    }
