"""A claim, what it asks for, what was measured, and the verdict that follows.

Verdicts are decided here and nowhere else. A threshold is compared with the estimate; where the estimate reaches it but
the claim also asks for an interval on one side of a value, and the interval is not, nothing is decided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from visor_eval.analysis.drawn import Drawn
from visor_eval.analysis.intervals import Interval


class Verdict(StrEnum):
    """What the numbers say."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "not decidable here"


class Unit(StrEnum):
    """What a number is, so that a page can write it."""

    SCORE = "score"  # 0..100
    POINTS = "points"  # difference of scores, signed
    SAVING = "saving"  # a factor
    GFLOPS = "gflops"
    NUMBER = "number"  # three digits
    SIMILARITY = "similarity"  # CKA or a difference of two
    COUNT = "count"
    PROBABILITY = "probability"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a claim asks for.

    Attributes:
        asked: in words, without the threshold.
        target: the threshold in words.
        measured: the number, with its interval where it has one; None: there is none.
        unit: of the number.
        verdict: of this one thing.
        remark: what the number does not say by itself.
    """

    asked: str
    target: str
    measured: Interval | None
    unit: Unit
    verdict: Verdict
    remark: str = ""


Entry = Interval | float | str | None


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A table beside the findings."""

    title: str
    caption: str
    columns: tuple[tuple[str, Unit], ...]  # the first names the rows
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim.

    Attributes:
        name: "C3"; sections without a verdict have a word.
        title: the claim in a few words.
        expected: what is claimed, with the issue's or the paper's numbers.
        findings: what it asks for; all of them count.
        beside: shown, and not counted.
        tables: shown.
        missing: why it cannot be judged; empty: it can.
        judged: whether it has a verdict at all.
    """

    name: str
    title: str
    expected: str
    findings: tuple[Finding, ...] = ()
    beside: tuple[Finding, ...] = ()
    tables: tuple[Numbers, ...] = ()
    missing: str = ""
    judged: bool = True

    @property
    def verdict(self) -> Verdict | None:
        """It holds if everything asked for holds; one failure is enough to fail."""
        if not self.judged:
            return None
        found = {finding.verdict for finding in self.findings}
        if Verdict.FAILS in found:
            return Verdict.FAILS
        if self.missing or not found or Verdict.OPEN in found:
            return Verdict.OPEN
        return Verdict.HOLDS


def at_least(
    asked: str,
    measured: Drawn | Interval,
    threshold: float,
    *,
    unit: Unit = Unit.POINTS,
    above: float | None = None,
    remark: str = "",
) -> Finding:
    """The number is no smaller than ``threshold``.

    Args:
        asked: what.
        measured: how much.
        threshold: at least this.
        unit: of both.
        above: the whole interval must lie above this as well.
        remark: further words.
    """
    return _compared(asked, measured, threshold, unit, above, remark, sign=1)


def at_most(
    asked: str,
    measured: Drawn | Interval,
    threshold: float,
    *,
    unit: Unit = Unit.POINTS,
    below: float | None = None,
    remark: str = "",
) -> Finding:
    """The number is no larger than ``threshold``; arguments as for ``at_least``."""
    return _compared(asked, measured, threshold, unit, below, remark, sign=-1)


def significant(asked: str, measured: Drawn | Interval, *, unit: Unit = Unit.POINTS, sign: int = 1) -> Finding:
    """The number is above 0 (``sign`` -1: below), and so is its whole interval."""
    beyond = "above" if sign > 0 else "below"
    found = _interval(measured)
    if math.isnan(found.estimate) or math.isnan(found.low):
        verdict, remark = Verdict.OPEN, "cannot be computed"
    elif sign * found.estimate <= 0:
        verdict, remark = Verdict.FAILS, ""
    elif _clears(found, 0.0, sign):
        verdict, remark = Verdict.HOLDS, ""
    else:
        verdict, remark = Verdict.OPEN, "the interval includes 0"
    return Finding(
        asked=asked,
        target=f"{beyond} 0, and so its interval",
        measured=found,
        unit=unit,
        verdict=verdict,
        remark=remark,
    )


def every(asked: str, target: str, failed: Sequence[str], undecided: Sequence[str], total: int) -> Finding:
    """Something asked of each of ``total`` tasks: those that fail, and those of which nothing can be said."""
    reached = total - len(failed) - len(undecided)
    parts = [f"not: {', '.join(failed)}"] if failed else []
    parts += [f"undecided: {', '.join(undecided)}"] if undecided else []
    verdict = Verdict.FAILS if failed else Verdict.OPEN if undecided or not total else Verdict.HOLDS
    return Finding(
        asked=asked,
        target=target,
        measured=Interval(reached, math.nan, math.nan),
        unit=Unit.COUNT,
        verdict=verdict,
        remark="; ".join(parts),
    )


def undecided(asked: str, target: str, why: str) -> Finding:
    """Nothing was measured, or it means nothing here."""
    return Finding(asked=asked, target=target, measured=None, unit=Unit.NUMBER, verdict=Verdict.OPEN, remark=why)


def _compared(
    asked: str,
    measured: Drawn | Interval,
    threshold: float,
    unit: Unit,
    beyond: float | None,
    remark: str,
    *,
    sign: int,
) -> Finding:
    found = _interval(measured)
    word = "at least" if sign > 0 else "at most"
    target = f"{word} {threshold:g}"
    remarks = [remark] if remark else []
    if beyond is not None:
        target += f", interval {'above' if sign > 0 else 'below'} {beyond:g}"
    if math.isnan(found.estimate):
        verdict, remarks = Verdict.OPEN, [*remarks, "cannot be computed"]
    elif sign * (found.estimate - threshold) < 0:
        verdict = Verdict.FAILS
    elif beyond is not None and not _clears(found, beyond, sign):
        verdict, remarks = Verdict.OPEN, [*remarks, f"the interval includes {beyond:g}"]
    else:
        verdict = Verdict.HOLDS
    if verdict is not Verdict.OPEN and found.low < threshold < found.high:
        remarks.append("the target lies within the interval")
    return Finding(asked=asked, target=target, measured=found, unit=unit, verdict=verdict, remark="; ".join(remarks))


def _clears(found: Interval, value: float, sign: int) -> bool:
    """Whether the whole interval lies beyond ``value``."""
    return found.low > value if sign > 0 else found.high < value


def _interval(measured: Drawn | Interval) -> Interval:
    return measured.interval if isinstance(measured, Drawn) else measured
