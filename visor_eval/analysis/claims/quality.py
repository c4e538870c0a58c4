"""Is the family good enough to show anything: dense, VISOR's largest configuration, every task above chance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from visor_eval.analysis.claims.claim import Claim, Finding, Numbers, Unit, at_least, every, undecided
from visor_eval.analysis.claims.swept import Swept, better, layers, task_names
from visor_eval.analysis.drawn import ALL, Drawing, scores
from visor_eval.records import Run

DENSE = {"easy": 90.0, "hard": 80.0}  # at least
BEHIND = -2.0  # VISOR less dense, at least


def quality(
    dense: Run | None,
    visor: Swept | None,
    *,
    shuffled: Mapping[str, float] | None = None,
    blind_only: Sequence[str] = (),
) -> Claim:
    """Both members against the issue's targets.

    Args:
        dense: the dense member's run.
        visor: the sweep of VISOR's configurations.
        shuffled: task -> the dense member's score on shuffled images, where the run's record does not know it.
        blind_only: checkpoints whose score on shuffled images is not known.
    """
    largest = layers(visor.largest) if visor else "largest"
    claim = Claim(
        name="Quality",
        title="the models are good enough to show anything",
        expected=f"The dense member reaches at least {DENSE['easy']:g} on easy and {DENSE['hard']:g} on hard (mean of "
        f"task scores); VISOR with its largest configuration is within {-BEHIND:g} points of it on both; every task is "
        "clearly above its chance level (its whole interval; chance is the better of answering blindly by template and "
        "the model's own score on shuffled images).",
        missing="; ".join(
            [*(["the dense member was not run"] if dense is None else []), *([] if visor else ["VISOR was not swept"])]
        ),
    )
    findings: list[Finding] = []
    chance = {} if dense is None else better(dense.run.chance, shuffled or {})
    base = None if dense is None else scores(dense.samples)
    if base is not None:
        for group in base.groups:
            findings.append(at_least(f"dense, {group}", base.of(group), DENSE[group], unit=Unit.SCORE))
    full = None if visor is None else visor.scores(visor.largest)
    if base is not None and full is not None:
        for group in base.groups:
            findings.append(at_least(f"VISOR {largest} less dense, {group}", full.less(base, group), BEHIND))
    if base is not None:
        findings.append(_above_chance("dense", base, chance))
    if full is not None and visor is not None:
        findings.append(_above_chance(f"VISOR {largest}", full, visor.chance))
    tables = (_table(base, full, chance, visor, blind_only),) if base and full and visor else ()
    return replace(claim, findings=tuple(findings), tables=tables)


def _above_chance(who: str, found: Drawing, chance: Mapping[str, float]) -> Finding:
    """Every task's whole interval above its chance level."""
    asked, target = f"{who}: tasks clearly above chance", f"all {len(found.tasks)}"
    if any(task not in chance for task in found.tasks):
        return undecided(asked, target, "the chance level of a task is unknown")
    below = [task for task, drawn in found.tasks.items() if not drawn.interval.low > chance[task]]
    return every(asked, target, task_names(below), [], len(found.tasks))


def _table(
    base: Drawing, full: Drawing, chance: Mapping[str, float], visor: Swept, blind_only: Sequence[str]
) -> Numbers:
    unknown = "no score on shuffled images, chance is answering blindly by template."
    rows = []
    for name in (*base.tasks, *base.groups, ALL):
        label = task_names([name])[0] if name in base.tasks else f"mean {name}" if name != ALL else "all tasks"
        difference = full.less(base, name).interval
        member = base.members(name)
        levels = [chance.get(task) for task in member], [visor.chance.get(task) for task in member]
        means = [
            None if any(one is None for one in level) else sum(filter(None, level)) / len(level) for level in levels
        ]
        rows.append((label, base.of(name).interval, means[0], full.of(name).interval, means[1], difference))
    return Numbers(
        title="Dense and VISOR, task by task",
        caption="Differences are paired." + "".join(f" {one}: {unknown}" for one in blind_only),
        columns=(
            ("task", Unit.TEXT),
            ("dense", Unit.SCORE),
            ("chance", Unit.SCORE),
            (f"VISOR {layers(visor.largest)}", Unit.SCORE),
            ("its chance", Unit.SCORE),
            ("difference", Unit.POINTS),
        ),
        rows=tuple(rows),
    )
