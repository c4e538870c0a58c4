"""Two runs against each other: paired differences, task by task."""

from visor_eval.analysis.paired import PairedTest, holm
from visor_reports.names import benchmark_label
from visor_reports.study import Board, Method, Study
from visor_reports.table import EMPTY, Cell, Change, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import ALPHA, OVERALL, ScoreColumn, compare, plain_row, setting_sentence

_MEANS = {"overall": "all tasks"}


class CompareError(LookupError):
    """The two runs cannot be found or compared; the message says why and names what there is."""


def find_method(study: Study, name: str) -> tuple[Board, Method]:
    """The row that a run's id, the beginning of one, or a method's name stands for.

    Raises:
        CompareError: nothing, or several, go by that name.
    """
    name = name.rstrip("/").rsplit("/", 1)[-1]  # a run's folder will do
    rows = [(board, method) for board in study.boards for method in board.methods]
    for fits in (_is_run, _is_method, _begins):
        found = [(board, method) for board, method in rows if fits(method, name)]
        if len(found) == 1:
            return found[0]
        if found:
            told = ", ".join(f"{method.runs[-1].run_id} ({board.title})" for board, method in found)
            raise CompareError(f"{name!r} may be any of {told}; give the run's name")
    for item in study.skipped:
        if item.name == name:
            raise CompareError(f"{name} cannot be compared: {item.reason}")
    if name in study.superseded:
        raise CompareError(f"{name} is superseded by {study.superseded[name]}, which has the same settings")
    known = ", ".join(f"{method.name} ({method.runs[-1].run_id})" for _, method in rows)
    raise CompareError(f"no run {name!r} in {study.root}; there are {known or 'no finished runs'}")


def _is_run(method: Method, name: str) -> bool:
    return any(record.run_id == name for record in method.runs)


def _is_method(method: Method, name: str) -> bool:
    return name in (method.name, method.slug)


def _begins(method: Method, name: str) -> bool:
    return any(record.run_id.startswith(name) for record in method.runs)


def compare_runs(study: Study, left: str, right: str) -> tuple[Board, Table]:
    """Second run less the first on each task that both ran, group means and all tasks, with corrected tests.

    Raises:
        CompareError: a name is unknown, or the runs are of different suites or data.
    """
    board, first = find_method(study, left)
    other, second = find_method(study, right)
    if board is not other:
        raise CompareError(f"{left} ({board.title}) and {right} ({other.title}) are not comparable: other samples")
    if first is second:
        raise CompareError(f"{left} and {right} are the same row")
    tasks = [task for task in board.tasks if task in first.samples and task in second.samples]
    if not tasks:
        raise CompareError(f"{left} and {right} have no task in common")
    lines = [ScoreColumn("task", task) for task in tasks]
    lines += [ScoreColumn("group", group) for group in board.groups if group in first.groups and group in second.groups]
    if len(board.groups) > 1 and first.overall is not None and second.overall is not None:
        lines.append(ScoreColumn("overall", OVERALL))
    tests = [compare(first, second, line.tasks(board)) for line in lines]
    adjusted = holm([float("nan") if test is None else test.p_value for test in tests])
    rows = [
        _row(line, first, second, test, p, rule=index == len(tasks))
        for index, (line, test, p) in enumerate(zip(lines, tests, adjusted, strict=True))
    ]
    table = Table(
        name=f"compare-{first.slug}-{second.slug}-{board.slug}",
        title=f"{second.name} less {first.name}",
        caption=f"{setting_sentence(board)} {second.runs[-1].run_id} less {first.runs[-1].run_id}, in points, on the "
        "same samples, with the paired 95 % bootstrap interval over task units. p: permutation test over task units; "
        f"corrected after Holm for {sum(test is not None for test in tests)} comparisons. Triangles mark differences "
        f"that hold at the level {ALPHA}. Changed: units on which the two differ. Savings: exact, against dense.",
        columns=(
            Column(header="Task"),
            Column(header="units", kind=Kind.COUNT),
            Column(header=first.name, kind=Kind.SCORE, span="Score", key=f"score {first.name}"),
            Column(header=second.name, kind=Kind.SCORE, span="Score", key=f"score {second.name}"),
            Column(header="difference", kind=Kind.DIFFERENCE),
            Column(header="p", kind=Kind.PROBABILITY),
            Column(header="p, corrected", kind=Kind.PROBABILITY, key="p_corrected"),
            Column(header="changed", kind=Kind.COUNT),
            Column(header=first.name, kind=Kind.SAVING, span="Saving", key=f"saving {first.name}"),
            Column(header=second.name, kind=Kind.SAVING, span="Saving", key=f"saving {second.name}"),
        ),
        rows=tuple(rows),
    )
    return board, table


def _row(line: ScoreColumn, first: Method, second: Method, test: PairedTest | None, p: float, *, rule: bool) -> Row:
    label = benchmark_label(line.name) if line.kind == "task" else _MEANS.get(line.kind, f"mean {line.name}")
    summaries = [line.summary(method) for method in (first, second)]
    scores = [score_cell(None if summary is None else summary.score) for summary in summaries]
    savings = [score_cell(None if summary is None else summary.saving.get("exact")) for summary in summaries]
    if test is None:
        told = Cell(value=label, notes=("Not compared: the two runs answered other samples.",))
        return plain_row([told, EMPTY, *scores, EMPTY, EMPTY, EMPTY, EMPTY, *savings], rule=rule)
    holds = Change.BETTER if test.difference.estimate > 0 else Change.WORSE
    difference = score_cell(test.difference, change=holds if p < ALPHA else None)
    numbers = [Cell(value=test.p_value), Cell(value=p), Cell(value=test.changed)]
    return plain_row([Cell(value=label), Cell(value=test.units), *scores, difference, *numbers, *savings], rule=rule)
