"""What a sweep says: oracle, router, best fixed configuration and dense; every configuration; who chooses which."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean

from visor_eval.analysis import Interval
from visor_eval.analysis.oracle import OracleReport, OracleSummary, Way, oracle_report
from visor_eval.analysis.scores import benchmark
from visor_eval.records.sweep import Sweep
from visor_reports.names import benchmark_label, benchmark_short, configuration_label
from visor_reports.naming import slugs
from visor_reports.study import Board
from visor_reports.table import EMPTY, Absent, Cell, Change, Column, Kind, Row, Table, ranked, score_cell
from visor_reports.tables.scoring import ALPHA, plain_row, setting_sentence

_NAMES = ("oracle", "configurations", "choices")
_Z = 1.959963984540054  # 97.5 % point of the normal distribution
_SHOWN = 64  # configurations in the tables that have a row for each


def sweep_tables(board: Board) -> list[Table | Absent]:
    """Three tables for each sweep of the board."""
    if not board.sweeps:
        reason = "needs a sweep: visor-eval oracle --model visor"
        return [Absent(name=f"{name}-{board.slug}", reason=reason) for name in _NAMES]
    found: list[Table | Absent] = []
    for sweep in board.sweeps:
        suffix = board.slug if len(board.sweeps) == 1 else f"{board.slug}-{slugs([sweep.run.run_id])[0]}"
        try:
            report = _report(board, sweep)
        except ValueError as error:
            found += [Absent(name=f"{name}-{suffix}", reason=f"{sweep.run.run_id}: {error}") for name in _NAMES]
            continue
        where = f"{setting_sentence(board)} {sweep.run.model} on {sweep.run.checkpoint}."
        found += [
            oracle_table(report, f"oracle-{suffix}", where),
            configuration_table(report, board.groups, f"configurations-{suffix}", where),
            choice_table(report, f"choices-{suffix}", where),
        ]
    return found


def _report(board: Board, sweep: Sweep) -> OracleReport:
    dense = [] if board.dense is None else [sample for group in board.dense.samples.values() for sample in group]
    chance = {task: row.chance for method in board.methods for task, row in method.tasks.items() if row.chance}
    return oracle_report(sweep.samples, tasks=board.tasks, dense=dense, chance=chance)


def oracle_table(report: OracleReport, name: str, where: str) -> Table:
    """Oracle, router, best fixed configuration and dense: score and saving; regret, gain, what is luck."""
    rows = [_oracle_row(one, report, benchmark_label(one.name)) for one in report.tasks]
    means = [_oracle_row(one, report, f"mean {one.name}") for one in report.groups]
    if len(report.groups) > 1:
        means.append(_oracle_row(report.overall, report, "all tasks"))
    rows += [plain_row(row.cells, rule=index == 0) for index, row in enumerate(means)]
    score, saving = Kind.SCORE, Kind.SAVING
    return Table(
        name=name,
        title="Oracle, router, best fixed configuration, dense",
        caption=f"{where} Oracle: per sample the cheapest of {len(report.configurations)} configurations with the most "
        "generated tokens equal to the reference. Below each number its 95 % bootstrap interval over task units. "
        "Router less fixed: the router's score less that of the best fixed configuration at no more cost, triangles "
        f"mark what holds (permutation test, Holm over tasks, level {ALPHA}). Regret: oracle less router. Gain: oracle "
        "less best fixed; part of it is luck, p says how often shuffled tables confirm as much (Holm over tasks). "
        "Savings are exact, against dense.",
        columns=(
            Column(header="Task"),
            Column(header="score", kind=score, span="Dense", key="dense_score"),
            Column(header="layers", span="Best fixed", key="fixed"),
            Column(header="score", kind=score, span="Best fixed", key="fixed_score"),
            Column(header="saving", kind=saving, span="Best fixed", key="fixed_saving"),
            Column(header="score", kind=score, span="Router", key="router_score"),
            Column(header="saving", kind=saving, span="Router", key="router_saving"),
            Column(header="less fixed", kind=Kind.DIFFERENCE, span="Router", key="router_less_fixed"),
            Column(header="score", kind=score, span="Oracle", key="oracle_score"),
            Column(header="saving", kind=saving, span="Oracle", key="oracle_saving"),
            Column(header="regret", kind=Kind.DIFFERENCE),
            Column(header="gain", kind=Kind.DIFFERENCE),
            Column(header="luck, p", kind=Kind.PROBABILITY, key="luck_p"),
        ),
        rows=tuple(rows),
    )


def _oracle_row(one: OracleSummary, report: OracleReport, label: str) -> Row:
    corrected = report.router_adjusted.get(one.name)
    change = None
    if one.router_gain is not None and corrected is not None and corrected < ALPHA:
        change = Change.BETTER if one.router_gain.difference.estimate > 0 else Change.WORSE
    luck = report.luck_adjusted.get(one.name, None if one.luck is None else one.luck.p_value)
    return plain_row(
        [
            Cell(value=label),
            _score(one.dense),
            Cell(value=configuration_label(one.best_fixed.configuration)),
            _score(one.best_fixed),
            _saving(one.best_fixed),
            _score(one.router),
            _saving(one.router),
            score_cell(None if one.router_gain is None else one.router_gain.difference, change=change),
            _score(one.oracle),
            _saving(one.oracle),
            score_cell(one.regret),
            score_cell(one.gain),
            Cell(value=luck),
        ]
    )


def _score(way: Way | None) -> Cell:
    return score_cell(None if way is None else way.score)


def _saving(way: Way | None) -> Cell:
    return score_cell(None if way is None else way.saving)


def configuration_table(
    report: OracleReport, groups: Mapping[str, Sequence[str]], name: str, where: str
) -> Table | Absent:
    """Every configuration's score on every task, group means, saving (figure S3 in numbers)."""
    if len(report.configurations) > _SHOWN:
        reason = f"{len(report.configurations)} configurations; a table has at most {_SHOWN}"
        return Absent(name=name, reason=reason)
    parts: list[tuple[Column, OracleSummary]] = []
    for group in report.groups:
        members = [task for task in report.tasks if task.name in groups.get(group.name, ())]
        span = group.name.capitalize()
        parts += [(Column(header=benchmark_label(t.name), kind=Kind.SCORE, span=span), t) for t in members]
        parts.append((Column(header="Avg.", kind=Kind.SCORE, span=span, key=f"avg_{group.name}"), group))
    columns = (
        Column(header="Configuration"),
        Column(header="Saving", kind=Kind.SAVING, key="saving_exact"),
        *(column for column, _ in parts),
    )
    rows = [
        plain_row(
            [
                Cell(value=configuration_label(configuration)),
                score_cell(report.overall.fixed[index].saving),
                *(score_cell(summary.fixed[index].score) for _, summary in parts),
            ]
        )
        for index, configuration in enumerate(report.configurations)
    ]
    return Table(
        name=name,
        title="Every configuration",
        caption=f"{where} Scores 0-100 with 95 % bootstrap intervals over task units; exact saving against dense, "
        "plain mean over tasks. Bold: best; underlined: second best.",
        columns=columns,
        rows=ranked(rows, columns),
    )


def choice_table(report: OracleReport, name: str, where: str) -> Table | Absent:
    """Share of the samples for which oracle and router take each configuration (figures S4 and S2 in numbers)."""
    choosers = [("oracle", [one.oracle_share for one in report.tasks])]
    routed = [one.router_share for one in report.tasks if one.router_share is not None]
    if len(routed) == len(report.tasks):
        choosers.append(("router", routed))
    chosen = [
        index
        for index in range(len(report.configurations))
        if any(shares[index] > 0 for _, tasks in choosers for shares in tasks)
    ]
    if len(chosen) > _SHOWN:
        return Absent(name=name, reason=f"{len(chosen)} configurations are chosen; a table has at most {_SHOWN}")
    counts = [one.samples for one in report.tasks]
    rows: list[Row] = []
    for index in chosen:
        label = Cell(value=configuration_label(report.configurations[index]))
        for number, (chooser, tasks) in enumerate(choosers):
            shares = [task[index] for task in tasks]
            cells = [_share([share], [count]) for share, count in zip(shares, counts, strict=True)]
            first = [EMPTY if number else label, Cell(value=chooser)]
            rows.append(plain_row([*first, *cells, _share(shares, counts)], rule=bool(rows) and not number))
    columns = (
        Column(header="Configuration"),
        Column(header="Chosen by"),
        *(Column(header=benchmark_short(one.name), kind=Kind.PERCENT, key=benchmark(one.name)) for one in report.tasks),
        Column(header="all", kind=Kind.PERCENT),
    )
    return Table(
        name=name,
        title="Which configuration is chosen",
        caption=f"{where} Percent of the samples; configurations that nobody chooses are left out. Last column: plain "
        "mean over tasks. 95 % intervals: Wilson's for one task, normal for the mean.",
        columns=columns,
        rows=tuple(rows),
    )


def _share(shares: Sequence[float], counts: Sequence[int]) -> Cell:
    """Mean of shares in percent: of one task with Wilson's interval, of several with the normal one."""
    mean = middle = fmean(shares)
    half = _Z * sqrt(sum(p * (1 - p) / n for p, n in zip(shares, counts, strict=True))) / len(shares)
    if len(shares) == 1:
        (n,) = counts
        middle = (mean + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * sqrt(mean * (1 - mean) / n + (_Z / (2 * n)) ** 2) / (1 + _Z**2 / n)
    low, high = max(0.0, min(mean, middle - half)), min(1.0, max(mean, middle + half))
    return Cell(value=100 * mean, interval=Interval(100 * mean, 100 * low, 100 * high))
