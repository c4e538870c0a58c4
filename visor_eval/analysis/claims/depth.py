"""C1 to C4: which self-attention layers are needed, and how many."""

from collections.abc import Sequence
from dataclasses import replace

from visor_eval.analysis.claims.claim import (
    Claim,
    Entry,
    Finding,
    Numbers,
    Unit,
    Verdict,
    at_least,
    at_most,
    every,
    significant,
    undecided,
)
from visor_eval.analysis.claims.swept import Configuration, Swept, chance_of, layers, task_names
from visor_eval.analysis.drawn import Drawn
from visor_eval.analysis.viable import Search

CROSS_ONLY: Configuration = ()
KEPT = 0.5  # of the largest configuration's lead over chance: what keeps no more than this fails
RANGE, RISE = 4.0, 8.0  # C3: at most, at least
SIZES = (2, 4, 7)
EASY_LOSS, HARD_LOSS = 6.0, 25.0  # C4: at most, at least
NO_STAGE_2 = "no stage-2 weights were given (--stage2 FOLDER) or swept"


def first_layer(stage2: Swept | None, largest: Configuration | None, search: Search | None = None) -> Claim:
    """C1: without layer 1 every task gets worse.

    Args:
        stage2: of a checkpoint that was trained with all its self-attention layers only.
        largest: those layers.
        search: of the same weights, over all subsets, on dev data.
    """
    claim = Claim(
        name="C1",
        title="removing layer 1 hurts every task",
        expected="On the stage-2 model, which was trained with all its self-attention layers, the same configuration "
        "without layer 1 is worse on every task (paired, interval below 0; a task at chance with all layers decides "
        "nothing). On the universal model this would be a tautology: it never saw a configuration without layer 1. "
        "Supplement S1, observation 1.",
    )
    if stage2 is None or largest is None:
        return replace(claim, missing=NO_STAGE_2)
    without = tuple(layer for layer in largest if layer != largest[0])
    full, less = stage2.scores(largest), stage2.scores(without)
    learnt = stage2.learnt(largest)
    fails, unsure, rows = [], [], []
    for task in full.tasks:
        verdict = significant(task, less.less(full, task), sign=-1).verdict
        if task not in learnt and verdict is not Verdict.HOLDS:
            verdict = Verdict.OPEN  # at chance with all layers: there is nothing to lose
        fails += [task] if verdict is Verdict.FAILS else []
        unsure += [task] if verdict is Verdict.OPEN else []
        rows.append(_row(task_names([task])[0], full.of(task), less.of(task), less.less(full, task), verdict))
    for group in full.groups:
        rows.append(_row(f"mean {group}", full.of(group), less.of(group), less.less(full, group), ""))
    asked = f"{layers(without)} less {layers(largest)}: tasks with a loss"
    table = Numbers(
        title=f"The stage-2 model with and without layer {largest[0]}",
        caption="Differences are paired.",
        columns=(
            ("task", Unit.TEXT),
            (layers(largest), Unit.SCORE),
            (layers(without), Unit.SCORE),
            ("difference", Unit.POINTS),
            ("hurts", Unit.TEXT),
        ),
        rows=tuple(rows),
    )
    finding = every(asked, f"all {len(full.tasks)}", task_names(fails), task_names(unsure), len(full.tasks))
    beside = tuple(
        significant(f"mean {group}: without layer {largest[0]} less with it", less.less(full, group), sign=-1)
        for group in full.groups
    )
    return replace(claim, findings=(finding,), beside=beside, tables=(table, *_searched(search)))


def _row(name: str, full: Drawn, less: Drawn, difference: Drawn, verdict: str) -> tuple[Entry, ...]:
    word = {Verdict.HOLDS: "yes", Verdict.FAILS: "no", Verdict.OPEN: "undecided"}.get(verdict, "")  # type: ignore[arg-type]
    return name, full.interval, less.interval, difference.interval, word


def _searched(search: Search | None) -> tuple[Numbers, ...]:
    """The supplement's observations over all subsets."""
    if search is None:
        return ()
    groups = tuple(dict.fromkeys(group for one in search.observations for group in one.values))
    return (
        Numbers(
            title="All subsets of the candidates (visor-eval oracle --search, dev data)",
            caption=f"Share of whole answers by teacher forcing, points, {search.samples} dev samples; what is "
            "subtracted from what stands in the second column (docs/oracle.md).",
            columns=(("observation", Unit.TEXT), ("meaning", Unit.TEXT), *((group, Unit.POINTS) for group in groups)),
            rows=tuple(
                (one.name, one.meaning, *(one.values.get(group) for group in groups)) for one in search.observations
            ),
        ),
    )


def few_layers(stage2: Swept | None, stage2_largest: Configuration | None, universal: Swept | None) -> Claim:
    """C2: cross-attention alone and one or two self-attention layers fail the complex tasks."""
    claim = Claim(
        name="C2",
        title="cross-attention only and 1 to 2 layers fail complex tasks",
        expected="On hard, cross-attention alone, one layer and two layers fail. The issue names no number; here, "
        "fixed before any stage-2 weights existed: to fail is to keep at most half of the largest configuration's "
        "lead over chance, the interval included. Each size is the plain mean over its configurations. Supplement S1, "
        "observation 2, which is about the stage-2 model; the universal model, which was trained on configurations of "
        "two layers, stands beside it.",
    )
    tables = _sizes("stage-2 model", stage2) + _sizes("universal model", universal)
    beside = _failing("universal", universal, universal.largest) if universal else ()
    if stage2 is None or stage2_largest is None:
        return replace(claim, beside=beside, tables=tables, missing=NO_STAGE_2)
    return replace(claim, findings=_failing("stage 2", stage2, stage2_largest), beside=beside, tables=tables)


def _failing(who: str, swept: Swept, largest: Configuration, group: str = "hard") -> tuple[Finding, ...]:
    """What each small size keeps of the largest configuration's lead over chance."""
    full = swept.scores(largest).of(group)
    chance = chance_of(group, swept.scores(largest), swept.chance)
    lead = full.plus(-chance)
    target = f"at most {KEPT:g}, interval below 1"
    found = []
    for size, name in enumerate(("cross-attention only", "one layer", "two layers")):
        members = _small(swept, size)
        asked = f"{who}, {group}: share of the lead over chance kept by {name}"
        if not members:
            found.append(undecided(asked, target, "not swept"))
        elif not full.interval.low > chance:
            found.append(undecided(asked, target, f"the largest configuration is not clearly above chance on {group}"))
        else:
            kept = swept.mean(members, group).plus(-chance) / lead
            found.append(at_most(asked, kept, KEPT, unit=Unit.NUMBER, below=1.0))
    return tuple(found)


def _small(swept: Swept, size: int) -> tuple[Configuration, ...]:
    """Configurations of a size, with the first candidate layer where there is any."""
    first = min((each[0] for each in swept.configurations if each), default=1)
    return tuple(each for each in swept.configurations if len(each) == size and (not each or each[0] == first))


def _sizes(who: str, swept: Swept | None) -> tuple[Numbers, ...]:
    """Every configuration that was swept."""
    if swept is None:
        return ()
    groups = tuple(swept.scores(swept.configurations[0]).groups)
    return (
        Numbers(
            title=f"Every configuration, {who}",
            caption=f"{swept.first.run.checkpoint}, weights {swept.first.run.weights_hash[:12]}.",
            columns=(("layers", Unit.TEXT), ("number", Unit.COUNT), *((group, Unit.SCORE) for group in groups)),
            rows=tuple(
                (layers(each), len(each), *(swept.scores(each).of(group).interval for group in groups))
                for each in swept.configurations
            ),
        ),
    )


def more_layers(universal: Swept | None) -> Claim:
    """C3: easy is flat over the viable configurations, hard rises with their size."""
    sizes = ", ".join(map(str, SIZES))
    claim = Claim(
        name="C3",
        title="easy is flat over the configurations, hard rises with them",
        expected=f"Easy: the viable configurations lie within {RANGE:g} points of each other. Hard: from "
        f"cross-attention only to {sizes} layers every step is a rise, and the last two steps together are at least "
        f"{RISE:g} points, "
        f"with an interval that excludes 0. For {sizes} layers stands the plain mean over the viable configurations of "
        "that size, so that nothing is chosen. Supplement S3 and figure S3.",
    )
    if universal is None:
        return replace(claim, missing="VISOR was not swept")
    members = {size: universal.of_size(size) for size in SIZES}
    absent = [str(size) for size, found in members.items() if not found]
    if CROSS_ONLY not in universal or absent:
        what = [*(["cross-attention only"] if CROSS_ONLY not in universal else []), *absent]
        return replace(claim, missing=f"no configuration of these sizes was swept: {', '.join(what)}")
    levels = {
        group: [universal.scores(CROSS_ONLY).of(group), *(universal.mean(members[size], group) for size in SIZES)]
        for group in universal.scores(CROSS_ONLY).groups
    }
    easy = Drawn.spread([universal.scores(each).of("easy") for each in universal.viable])
    hard = levels["hard"]
    names = ["cross-attention only", *(f"{size} layers" for size in SIZES)]
    steps = [
        at_least(f"hard: {names[place]} to {names[place + 1]}", hard[place + 1] - hard[place], 0.0)
        for place in range(len(hard) - 1)
    ]
    steps = [replace(step, target="above 0", verdict=_rises(step)) for step in steps]
    findings = (
        at_most(f"easy: range over the {len(universal.viable)} configurations", easy, RANGE, unit=Unit.NUMBER),
        *steps,
        at_least(f"hard: {names[1]} to {names[-1]}", hard[-1] - hard[1], RISE, above=0.0),
    )
    rows = [
        (name, *(levels[group][place].interval for group in levels), _listed(members.get(size, (CROSS_ONLY,))))
        for place, (name, size) in enumerate(zip(names, (0, *SIZES), strict=True))
    ]
    table = Numbers(
        title="By number of layers",
        caption="Universal model; plain mean over the configurations named.",
        columns=(("", Unit.TEXT), *((group, Unit.SCORE) for group in levels), ("configurations", Unit.TEXT)),
        rows=tuple(rows),
    )
    return replace(claim, findings=findings, tables=(table, *_tasks(universal, members)))


def _rises(step: Finding) -> Verdict:
    """A step counts by its estimate; nothing is asked of its interval."""
    assert step.measured is not None
    return Verdict.HOLDS if step.measured.estimate > 0 else Verdict.FAILS


def _listed(configurations: Sequence[Configuration]) -> str:
    return " ".join(layers(each) for each in configurations)


def _tasks(universal: Swept, members: dict[int, tuple[Configuration, ...]]) -> tuple[Numbers, ...]:
    """The same levels, task by task: where the rise comes from."""
    cross = universal.scores(CROSS_ONLY)
    rows = []
    for task in cross.tasks:
        levels = [cross.of(task), *(universal.mean(members[size], task) for size in SIZES)]
        rise = (levels[-1] - levels[1]).interval
        rows.append((task_names([task])[0], universal.chance.get(task), *(one.interval for one in levels), rise))
    return (
        Numbers(
            title="By number of layers, task by task",
            caption="The last column is the rise from 2 to 7 layers.",
            columns=(
                ("task", Unit.TEXT),
                ("chance", Unit.SCORE),
                ("cross only", Unit.SCORE),
                *((f"{size} layers", Unit.SCORE) for size in SIZES),
                ("rise", Unit.POINTS),
            ),
            rows=tuple(rows),
        ),
    )


def cross_attention(universal: Swept | None) -> Claim:
    """C4: cross-attention alone is enough for easy, and far from enough for hard."""
    claim = Claim(
        name="C4",
        title="cross-attention alone is nearly enough for easy, not for hard",
        expected=f"Cross-attention only is within {EASY_LOSS:g} points of the best configuration on easy, and at least "
        f"{HARD_LOSS:g} points below the best on hard. Best: of the viable configurations, on each group by itself, "
        "picked on the same samples, which makes it look a little too good.",
    )
    if universal is None or CROSS_ONLY not in universal:
        return replace(claim, missing="cross-attention only was not swept")
    cross, findings = universal.scores(CROSS_ONLY), []
    for group, target in (("easy", EASY_LOSS), ("hard", HARD_LOSS)):
        best = universal.best(group)
        loss = universal.scores(best).less(cross, group)
        asked = f"{group}: best, {layers(best)}, less cross-attention only"
        test = at_most if group == "easy" else at_least
        findings.append(test(asked, loss, target))
    return replace(claim, findings=tuple(findings))
