"""What a sweep says, as plain text of at most 100 columns: the oracle, the router, fixed configurations, luck."""

import math
from collections.abc import Sequence

from visor_eval.analysis import Interval, benchmark
from visor_eval.analysis.oracle import OracleReport, OracleSummary, Way
from visor_reports.terminal import ruled

_LEGEND = """\
Scores 0-100; savings against dense in executed decoder FLOPs (exact). oracle: for each sample the
configuration with most reference tokens before the first mismatch, ties to fewer layers. fixed: the
best single configuration that costs no more than the router (without one: than the oracle). regret:
oracle - router, bootstrap interval; below 0 where the metric rewards more than matched tokens.
p: router against fixed, permutation test, Holm-corrected over tasks (means: not corrected)."""

_LUCK_LEGEND = """\
Points of rightly answered samples. mixed: samples that some configurations answer rightly, others
not; gain: any configuration right - best fixed one right; half: the same on half menus; confirmed:
of that, what a choice gains that votes of the other half make; by luck: the same on tables shuffled
within their row and column sums; p: Holm-corrected (means: not). An advantage that no related
configuration shares cannot be told from luck (docs/oracle.md)."""


def oracle_table(report: OracleReport) -> str:
    """Return all tables of a sweep, without a final newline."""
    blocks = [_ways(report), _LEGEND, "", _configurations(report)]
    if report.overall.luck is not None:
        blocks += ["", "How much of the oracle's gain is luck", _luck(report), _LUCK_LEGEND]
    return "\n".join(blocks)


def _ways(report: OracleReport) -> str:
    dense = all(task.dense is not None for task in report.tasks)
    headers = ["task", "n", "oracle", "saving", "router", "saving", "regret", "95 % interval", "fixed", "score", "p"]
    headers += ["dense"] * dense

    def row(name: str, summary: OracleSummary, p: float | None) -> list[str]:
        fixed = summary.fixed_at_router or summary.fixed_at_oracle
        cells = [name, str(summary.samples), *_way(summary.oracle), *_way(summary.router)]
        cells += [_number(summary.regret.estimate if summary.regret else None), _ends(summary.regret)]
        cells += [_short(fixed.configuration), _number(fixed.score.estimate), _p(p)]
        return cells + [_number(summary.dense.score.estimate if summary.dense else None)] * dense

    rows = [row(benchmark(task.name), task, report.router_adjusted.get(task.name)) for task in report.tasks]
    return ruled(headers, rows, [row(name, one, _raw(one)) for name, one in _means(report)])


def _raw(summary: OracleSummary) -> float | None:
    return None if summary.router_gain is None else summary.router_gain.p_value


def _configurations(report: OracleReport) -> str:
    means = _means(report)
    headers = ["configuration", *(name for name, _ in means), "saving", "oracle %", "router %"]
    overall, rows = report.overall, []
    for index, layers in enumerate(report.configurations):
        scores = [_number(one.fixed[index].score.estimate) for _, one in means]
        router = None if overall.router_share is None else 100 * overall.router_share[index]
        saving = f"{overall.fixed[index].saving.estimate:.2f}x"
        rows.append([_short(layers), *scores, saving, _number(100 * overall.oracle_share[index]), _number(router)])
    return ruled(headers, rows, [])


def _luck(report: OracleReport) -> str:
    headers = [
        "task",
        "mixed",
        "gain",
        "half",
        "confirmed",
        "95 % interval",
        "by luck",
        "95 % of shuffles",
        "share",
        "p",
    ]

    def row(name: str, summary: OracleSummary, p: float | None) -> list[str]:
        luck = summary.luck
        if luck is None:
            return [name, *["-"] * (len(headers) - 1)]
        return [
            name,
            str(luck.informative),
            _number(luck.gain),
            _number(luck.half_gain),
            _number(luck.confirmed.estimate),
            _ends(luck.confirmed),
            _number(luck.by_luck.estimate),
            _ends(luck.by_luck),
            "-" if math.isnan(luck.share) else f"{luck.share:.0%}",
            _p(p),
        ]

    rows = [row(benchmark(task.name), task, report.luck_adjusted.get(task.name)) for task in report.tasks]
    means = [row(name, one, None if one.luck is None else one.luck.p_value) for name, one in _means(report)]
    return ruled(headers, rows, means)


def _means(report: OracleReport) -> list[tuple[str, OracleSummary]]:
    means = [(f"mean {group.name}", group) for group in report.groups]
    return means + [("all tasks", report.overall)] * (len(means) > 1)


def _way(way: Way | None) -> list[str]:
    return ["-", "-"] if way is None else [_number(way.score.estimate), f"{way.saving.estimate:.2f}x"]


def _short(layers: Sequence[int] | None) -> str:
    return "-" if layers is None else "[" + ",".join(map(str, layers)) + "]"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def _ends(interval: Interval | None) -> str:
    return "-" if interval is None or math.isnan(interval.low) else f"{interval.low:.1f} - {interval.high:.1f}"


def _p(p: float | None) -> str:
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
