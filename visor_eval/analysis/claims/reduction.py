"""C5: fewer layers against fewer tokens at equal cost; and both together (composition)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from visor_eval.analysis.claims.claim import Claim, Entry, Finding, Numbers, Unit, Verdict, at_least, at_most
from visor_eval.analysis.claims.swept import GIGA, Swept, exact_flops, layers, saving
from visor_eval.analysis.drawn import ALL, Drawing, Drawn, scores
from visor_eval.analysis.intervals import Interval
from visor_eval.records import Accounting, SampleRecord

AHEAD, APART = 15.0, 5.0  # VISOR less a reducer: on hard at least, on easy at most either way
RIVALS = ("visionzip", "vispruner", "hired")  # of which the claim speaks
PRINTED = {"visor+visionzip": 37.0, "visor+vispruner": 39.0}  # savings, the paper's composition table
SMALLEST = (1, 4)


@dataclass(frozen=True)
class Contender:
    """A method in one setting on all groups, from one run or from one per group.

    Attributes:
        name: the method.
        setting: its budget in words, and on whose weights.
        samples: of all groups.
    """

    name: str
    setting: str
    samples: tuple[SampleRecord, ...] = field(repr=False)

    @cached_property
    def scores(self) -> Drawing:
        """Scores."""
        return scores(self.samples)

    @cached_property
    def flops(self) -> Drawing:
        """Exact FLOPs."""
        return exact_flops(self.samples)

    @cached_property
    def savings(self) -> dict[str, Drawn]:
        """Group -> exact saving against dense."""
        return {group: saving(self.samples, Accounting.EXACT, group) for group in self.scores.groups}


def reducers(
    visor: Contender | None,
    matched: Sequence[Contender],
    published: Sequence[Contender],
    *,
    swept: Swept | None = None,
    dense: Contender | None = None,
    absent: Mapping[str, str],
) -> Claim:
    """C5.

    Args:
        visor: with its router.
        matched: reducers whose budget was raised until they cost no less than ``visor`` on each group.
        published: the same and others at their papers' budgets.
        swept: of the same VISOR weights, for its smallest configuration.
        dense: without reduction.
        absent: reducers that are not there -> why.
    """
    claim = Claim(
        name="C5",
        title="fewer layers beat fewer tokens at equal cost, on hard",
        expected="Each reducer's budget is raised, group by group, until its exact FLOPs are at least those of VISOR "
        "with its router (a published budget that costs as much already stays as it is). "
        f"VISOR then beats VisionZip, VisPruner and HiRED on hard by at least {AHEAD:g} points and "
        f"differs from them on easy by at most {APART:g}. Newlines per row, as the models were trained; position "
        "embeddings are in the patch features as well.",
    )
    tables = _table(visor, matched, published, swept, dense)
    if visor is None:
        return replace(claim, tables=tables, missing="VISOR was not run")
    by_name = {one.name: one for one in matched}
    findings: list[Finding] = []
    for name in RIVALS:
        if name in by_name:
            findings += [*_as_dear(visor, by_name[name]), *_ahead(visor, by_name[name])]
    missing = [f"{name}: {absent.get(name, 'not run at a matched budget')}" for name in RIVALS if name not in by_name]
    beside = [finding for one in matched if one.name not in RIVALS for finding in _ahead(visor, one)]
    beside += _against_smallest(visor, [by_name[name] for name in RIVALS if name in by_name], swept)
    others = [f"{name}: {why}" for name, why in absent.items() if name not in RIVALS]
    if others and tables:
        caption = f"{tables[0].caption} Not in the table: {'; '.join(others)}."
        tables = (replace(tables[0], caption=caption), *tables[1:])
    return replace(claim, findings=tuple(findings), beside=tuple(beside), tables=tables, missing="; ".join(missing))


def _as_dear(visor: Contender, rival: Contender) -> list[Finding]:
    """Whether the reducer costs no less than VISOR on these very questions, on which its budget was set."""
    found = []
    for group in visor.scores.groups:
        ratio = rival.flops.of(group).estimate / visor.flops.of(group).estimate
        asked = f"{rival.name}, {group}: exact FLOPs over VISOR's"
        cost = at_least(asked, Interval(ratio, math.nan, math.nan), 1.0, unit=Unit.NUMBER)
        if cost.verdict is Verdict.FAILS:  # the comparison is not the one that was asked for
            cost = replace(cost, verdict=Verdict.OPEN, remark="the reducer is cheaper than VISOR")
        found.append(cost)
    return found


def _ahead(visor: Contender, rival: Contender) -> list[Finding]:
    """Hard, then easy."""
    return [
        at_least(f"VISOR less {rival.name}, hard", visor.scores.less(rival.scores, "hard"), AHEAD),
        _apart(f"VISOR less {rival.name}, easy", visor.scores.less(rival.scores, "easy")),
    ]


def _apart(asked: str, difference: Drawn) -> Finding:
    """At most so far from 0, either way."""
    size = abs(difference.estimate)
    found = at_most(asked, difference, APART)
    verdict = Verdict.HOLDS if size <= APART else Verdict.FAILS
    inside = any(found.measured.low < end < found.measured.high for end in (-APART, APART))  # type: ignore[union-attr]
    remark = "the target lies within the interval" if inside else ""
    return replace(found, target=f"at most {APART:g} either way", verdict=verdict, remark=remark)


def _against_smallest(visor: Contender, rivals: Sequence[Contender], swept: Swept | None) -> list[Finding]:
    """VISOR's smallest configuration, which costs less than the router's choices, against the same runs."""
    if swept is None or SMALLEST not in swept.viable:
        return []
    found, ours = swept.scores(SMALLEST), []
    for rival in rivals:
        for group in found.groups:
            if rival.flops.of(group).estimate < swept.flops(SMALLEST).of(group).estimate:
                continue
            difference = found.less(rival.scores, group)
            name = f"VISOR {layers(SMALLEST)} less {rival.name}, {group}"
            ours.append(_apart(name, difference) if group == "easy" else at_least(name, difference, AHEAD))
    return ours


def _table(
    visor: Contender | None,
    matched: Sequence[Contender],
    published: Sequence[Contender],
    swept: Swept | None,
    dense: Contender | None,
) -> tuple[Numbers, ...]:
    rows: list[tuple[Entry, ...]] = []
    groups = tuple((visor or dense or [*matched, *published][0]).scores.groups) if visor or dense or matched else ()
    if not groups:
        return ()
    if dense is not None:
        rows.append(_row(dense, "", groups, visor))
    if visor is not None:
        rows.append(_row(visor, "", groups, None))
    if swept is not None and SMALLEST in swept.viable:
        costs = [swept.flops(SMALLEST).of(group).estimate / GIGA for group in groups]
        found = [swept.scores(SMALLEST).of(group).interval for group in groups]
        savings = [_swept_saving(swept, SMALLEST, group) for group in groups]
        rows.append(("visor", layers(SMALLEST), "", *_mixed(costs, savings, found), *([None] * len(groups))))
    rows += [_row(one, "VISOR's cost", groups, visor) for one in matched]
    rows += [_row(one, "the paper's", groups, visor) for one in published]
    per_group = [
        column
        for group in groups
        for column in (
            (f"{group}: GFLOPs", Unit.NUMBER),
            (f"{group}: saving", Unit.SAVING),
            (f"{group}: score", Unit.SCORE),
        )
    ]
    return (
        Numbers(
            title="Fewer layers and fewer tokens",
            caption="GFLOPs: exact, decoder prefill per sample, plain mean over tasks; saving: exact, against dense. "
            "The last columns are VISOR with its router less the row, paired.",
            columns=(
                ("method", Unit.TEXT),
                ("setting", Unit.TEXT),
                ("budget", Unit.TEXT),
                *per_group,
                *((f"VISOR less it, {group}", Unit.POINTS) for group in groups),
            ),
            rows=tuple(rows),
        ),
    )


def _row(one: Contender, budget: str, groups: Sequence[str], visor: Contender | None) -> tuple[Entry, ...]:
    costs = [one.flops.of(group).estimate / GIGA for group in groups]
    savings = [one.savings[group].interval for group in groups]
    found = [one.scores.of(group).interval for group in groups]
    ahead = [None if visor is None else visor.scores.less(one.scores, group).interval for group in groups]
    return one.name, one.setting, budget, *_mixed(costs, savings, found), *ahead


def _mixed(costs: Sequence[Entry], savings: Sequence[Entry], found: Sequence[Entry]) -> list[Entry]:
    return [entry for trio in zip(costs, savings, found, strict=True) for entry in trio]


def _swept_saving(swept: Swept, configuration: tuple[int, ...], group: str) -> float:
    """Exact saving of a configuration, plain mean over tasks."""
    dense: dict[str, float] = {}
    for sample in swept.first.samples:
        dense[sample.task] = dense.get(sample.task, 0.0) + sample.dense_prefill_flops
    counts = {task: len(asked) for task, asked in swept.flops(configuration).asked.items()}
    found = swept.flops(configuration)
    ratios = [dense[task] / counts[task] / found.tasks[task].estimate for task in found.members(group)]
    return sum(ratios) / len(ratios)


def composition(parts: Sequence[Contender], composed: Sequence[Contender], absent: Mapping[str, str]) -> Claim:
    """Fewer layers and fewer tokens together: no verdict, since the paper's rows are numbers, not claims.

    Args:
        parts: dense, VISOR and the reducers alone.
        composed: ``visor+...``.
        absent: what was not run -> why.
    """
    claim = Claim(
        name="Composition",
        title="VISOR behind a token reducer",
        expected="The paper's composition table: VISOR + VisionZip saves 37x, VISOR + VisPruner 39x (its own "
        "accounting), at 0.3 and 0.1 points less than VISOR on easy, 3.1 and 2.5 less on hard. Here both are "
        "training-free on the VISOR weights: the reducers were never seen in training. Rows to look at, no verdict.",
        judged=False,
    )
    if not composed:
        return replace(claim, missing="; ".join(f"{name}: {why}" for name, why in absent.items()) or "not run")
    groups = tuple(composed[0].scores.groups)
    visor = next((one for one in parts if one.name == "visor"), None)
    rows: list[tuple[Entry, ...]] = []
    for one in [*parts, *composed]:
        ahead = [
            None if visor is None or one is visor else one.scores.less(visor.scores, group).interval for group in groups
        ]
        rows.append(
            (
                one.name,
                one.setting,
                PRINTED.get(one.name),
                saving(one.samples, Accounting.PAPER, ALL).interval,
                saving(one.samples, Accounting.EXACT, ALL).interval,
                *(one.scores.of(group).interval for group in groups),
                *ahead,
            )
        )
    table = Numbers(
        title="Composition",
        caption="Savings: plain mean over tasks; paper: nominal, vision tokens x layers of one tile; exact: executed "
        "decoder prefill. Differences to VISOR alone, paired.",
        columns=(
            ("method", Unit.TEXT),
            ("setting", Unit.TEXT),
            ("printed in the paper", Unit.SAVING),
            ("paper", Unit.SAVING),
            ("exact", Unit.SAVING),
            *((group, Unit.SCORE) for group in groups),
            *((f"less VISOR, {group}", Unit.POINTS) for group in groups),
        ),
        rows=tuple(rows),
    )
    return replace(claim, tables=(table,))


def headline(
    members: Sequence[Contender], seconds: Sequence[tuple[Contender, Contender]], absent: Mapping[str, str]
) -> Claim:
    """Every member of the family, and second seeds, each with its first: rows to look at, no verdict."""
    claim = Claim(
        name="Headline",
        title="every member of the family",
        expected="The issue asks for two seeds of the headline table. Rows to look at, no verdict.",
        judged=False,
    )
    shown = [*members, *(one for one, _ in seconds)]
    if not shown:
        return replace(claim, missing="nothing was run")
    groups = tuple(shown[0].scores.groups)
    rows = tuple(
        (
            one.name,
            one.setting,
            *(one.scores.of(name).interval for name in (*groups, ALL)),
            saving(one.samples, Accounting.PAPER, ALL).interval,
            saving(one.samples, Accounting.EXACT, ALL).interval,
        )
        for one in shown
    )
    told = f" Not there: {'; '.join(f'{name} ({why})' for name, why in absent.items())}." if absent else ""
    seeds = "" if seconds else " No second seed was given (--second-seed)."
    table = Numbers(
        title="The family",
        caption=f"Savings: plain mean over tasks, paper and exact accounting.{told}{seeds}",
        columns=(
            ("method", Unit.TEXT),
            ("weights", Unit.TEXT),
            *((group, Unit.SCORE) for group in groups),
            ("all", Unit.SCORE),
            ("paper", Unit.SAVING),
            ("exact", Unit.SAVING),
        ),
        rows=rows,
    )
    return replace(claim, tables=(table, *_seeds(seconds, groups)))


def _seeds(seconds: Sequence[tuple[Contender, Contender]], groups: Sequence[str]) -> tuple[Numbers, ...]:
    """What another seed changes."""
    if not seconds:
        return ()
    shown = (*groups, ALL)
    table = Numbers(
        title="What another seed changes",
        caption="Second seed less first, paired. The intervals are over questions; of seeds there are two.",
        columns=(("method", Unit.TEXT), ("second", Unit.TEXT), *((group, Unit.POINTS) for group in shown)),
        rows=tuple(
            (one.name, one.setting, *(one.scores.less(first.scores, group).interval for group in shown))
            for one, first in seconds
        ),
    )
    return (table,)
