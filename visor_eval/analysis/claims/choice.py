"""C6 and C7: does the router choose well, and is there anything to choose."""

from dataclasses import replace

from visor_eval.analysis.claims.claim import Claim, Finding, Numbers, Unit, at_least, at_most, significant
from visor_eval.analysis.claims.swept import Swept, layers, task_names
from visor_eval.analysis.drawn import ALL
from visor_eval.analysis.intervals import RESAMPLES, Interval
from visor_eval.analysis.oracle import OracleReport, oracle_report

NEAR = -1.0  # router less best fixed, at least
LEVEL = 0.05


def router(universal: Swept | None) -> Claim:
    """C6: the router reaches the best fixed configuration at no more cost, and spends more on hard."""
    claim = Claim(
        name="C6",
        title="the router is as good as the best fixed configuration, and spends where it matters",
        expected=f"Over all tasks the router is within {-NEAR:g} point of the best fixed configuration and costs no "
        "more than that one (exact FLOPs, router included); it spends significantly fewer self-attention layers on "
        "easy than on hard. The best fixed configuration is picked on the same samples, which makes it look a little "
        "too good. Beside it the weaker reading: the best of the configurations that cost no more than the router.",
    )
    if universal is None or not universal.routed:
        return replace(claim, missing="no sweep of a checkpoint with a router")
    found, best = universal.router_scores, universal.best(ALL)
    cost = universal.router_flops.less(universal.flops(best), ALL)
    ratio = cost.times(1 / universal.flops(best).of(ALL).estimate).plus(1.0)
    spent = universal.router_layers
    fewer = spent.of("easy") - spent.of("hard")
    findings = (
        at_least(f"router less {layers(best)}, the best fixed one", found.less(universal.scores(best), ALL), NEAR),
        at_most(f"its exact FLOPs over those of {layers(best)}", ratio, 1.0, unit=Unit.NUMBER),
        significant("layers on easy less layers on hard", fewer, unit=Unit.NUMBER, sign=-1),
    )
    return replace(claim, findings=findings, beside=_weaker(universal), tables=(_ways(universal),))


def _weaker(universal: Swept) -> tuple[Finding, ...]:
    """Against the best fixed configuration that costs no more than the router."""
    budget = universal.router_flops.of(ALL).estimate * (1 + 1e-9)
    within = [each for each in universal.viable if universal.flops(each).of(ALL).estimate <= budget]
    if not within:
        return ()
    best = max(within, key=lambda each: (universal.scores(each).of(ALL).estimate, -len(each)))
    difference = universal.router_scores.less(universal.scores(best), ALL)
    return (at_least(f"router less {layers(best)}, the best that costs no more than it", difference, NEAR),)


def _ways(universal: Swept) -> Numbers:
    """Router and every viable configuration."""
    names = (*universal.router_scores.groups, ALL)
    rows = [
        (
            "router",
            *(universal.router_layers.of(name).interval for name in names),
            *(universal.router_scores.of(name).interval for name in names),
            universal.router_flops.of(ALL).estimate / 1e9,
        )
    ]
    for each in universal.viable:
        size = float(len(each))
        found = (universal.scores(each).of(name).interval for name in names)
        rows.append((layers(each), *([size] * len(names)), *found, universal.flops(each).of(ALL).estimate / 1e9))
    return Numbers(
        title="Router and fixed configurations",
        caption="Layers: mean number of self-attention layers. GFLOPs: exact, decoder prefill, over all tasks.",
        columns=(
            ("", Unit.TEXT),
            *((f"layers: {name}", Unit.NUMBER) for name in names),
            *((f"score: {name}", Unit.SCORE) for name in names),
            ("GFLOPs", Unit.NUMBER),
        ),
        rows=tuple(rows),
    )


def oracle(universal: Swept | None, *, resamples: int = RESAMPLES) -> Claim:
    """C7: the best configuration of each sample beats every fixed one, by more than luck, on learnt tasks."""
    claim = Claim(
        name="C7",
        title="the per-sample oracle beats every fixed configuration, beyond luck",
        expected="On the tasks that are learnt (the largest configuration's whole interval above chance), taken "
        "together, the oracle scores higher than the best fixed configuration, and of its gain more is confirmed than "
        f"on tables shuffled under the null that no configuration suits any sample better (p < {LEVEL:g}; "
        "docs/oracle.md). Task by task beside it, p corrected by Holm.",
    )
    if universal is None:
        return replace(claim, missing="VISOR was not swept")
    learnt = universal.learnt(universal.largest)
    if not learnt:
        return replace(claim, missing="no task is learnt")
    samples = [sample for sample in universal.first.samples if sample.task in learnt]
    report = oracle_report(samples, tasks=universal.first.run.tasks, resamples=resamples)
    luck = report.overall.luck
    if luck is None:
        return replace(claim, missing="too few configurations to tell gain from luck")
    findings = (
        significant("oracle less best fixed", report.overall.gain),
        at_most("p of the confirmed gain under the null", _alone(luck.p_value), LEVEL, unit=Unit.PROBABILITY),
    )
    beside = (
        significant(f"confirmed of it ({luck.share:.0%} of the gain on half menus)", luck.confirmed),
        *_each(report),
    )
    return replace(claim, findings=findings, beside=beside, tables=(_lucky(report, universal, learnt),))


def _each(report: OracleReport) -> tuple[Finding, ...]:
    """How many learnt tasks show it by themselves."""
    shown = [task for task, p in report.luck_adjusted.items() if p < LEVEL]
    return (
        at_least(
            f"learnt tasks that show it alone, p < {LEVEL:g} after Holm, of {len(report.tasks)}",
            _alone(float(len(shown))),
            1,
            unit=Unit.COUNT,
            remark=", ".join(task_names(shown)),
        ),
    )


def _alone(number: float) -> Interval:
    """A number without an interval."""
    return Interval(number, float("nan"), float("nan"))


def _lucky(report: OracleReport, universal: Swept, learnt: tuple[str, ...]) -> Numbers:
    rows = []
    for one in (*report.tasks, *report.groups, report.overall):
        luck = one.luck
        task = one in report.tasks
        name = task_names([one.name])[0] if task else "all learnt tasks" if one.name == ALL else f"mean {one.name}"
        rows.append(
            (
                name,
                one.oracle.score,
                layers(one.best_fixed.configuration or ()),
                one.best_fixed.score,
                one.gain,
                None if luck is None else luck.confirmed,
                None if luck is None else luck.by_luck,
                report.luck_adjusted.get(one.name) if task else None if luck is None else luck.p_value,
            )
        )
    left = [task for task in universal.scores(universal.largest).tasks if task not in learnt]
    out = f" Not learnt and left out: {', '.join(task_names(left))}." if left else ""
    return Numbers(
        title="Oracle, best fixed configuration and luck",
        caption="Confirmed: what a choice gains that does not look at the outcome it is scored on; by luck: the same "
        f"on shuffled tables, with the range of 95 % of them. p: after Holm for tasks.{out}",
        columns=(
            ("task", Unit.TEXT),
            ("oracle", Unit.SCORE),
            ("best fixed", Unit.TEXT),
            ("its score", Unit.SCORE),
            ("gain", Unit.POINTS),
            ("confirmed", Unit.POINTS),
            ("by luck", Unit.POINTS),
            ("p", Unit.PROBABILITY),
        ),
        rows=tuple(rows),
    )
