"""What the tables over scores share: columns of tasks and groups, cells, paired tests, the paper's values."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from visor_eval.analysis import Interval, Summary
from visor_eval.analysis.paired import PairedTest, compare_units, holm, paired_units
from visor_eval.analysis.scores import TaskUnits, benchmark
from visor_reports.names import benchmark_label, setting_label
from visor_reports.paper import disagreements, printed_table
from visor_reports.paper.printed import EASY, HARD, TITLES
from visor_reports.study import Board, Method
from visor_reports.table import EMPTY, Cell, Change, Column, Kind, Row, score_cell

ALPHA = 0.05
OVERALL = "overall"

_SIDE_BY_SIDE = ("s5", "s3", "s1", "s2", "s7", "headline", "composition")  # where several print it, the first counts


@dataclass(frozen=True)
class ScoreColumn:
    """A column of scores: a task, a group's mean, or the mean of all tasks."""

    kind: str  # "task", "group" or "overall"
    name: str  # task or group

    def summary(self, method: Method) -> Summary | None:
        """The method's numbers there; None where it was not (wholly) run."""
        if self.kind == "task":
            return method.tasks.get(self.name)
        return method.groups.get(self.name) if self.kind == "group" else method.overall

    def score(self, method: Method) -> Interval | None:
        """The score alone."""
        summary = self.summary(method)
        return None if summary is None else summary.score

    def tasks(self, board: Board) -> tuple[str, ...]:
        """The tasks that it is a mean of."""
        if self.kind == "task":
            return (self.name,)
        return board.groups[self.name] if self.kind == "group" else board.tasks


def score_columns(board: Board, *, overall: bool = False) -> list[tuple[ScoreColumn, Column]]:
    """Tasks by group, each group ending in its mean (the paper's shape); ``overall`` adds the mean of all tasks."""
    found = []
    for group, tasks in board.groups.items():
        span = group.capitalize()
        for task in tasks:
            found.append((ScoreColumn("task", task), Column(header=benchmark_label(task), kind=Kind.SCORE, span=span)))
        header = "Avg." if whole_group(board, group) else f"Avg. of {len(tasks)}"
        mean = Column(header=header, kind=Kind.SCORE, span=span, key=f"avg_{group}")
        found.append((ScoreColumn("group", group), mean))
    if overall and len(board.groups) > 1:
        found.append((ScoreColumn("overall", OVERALL), Column(header="All", kind=Kind.SCORE, key=OVERALL)))
    return found


def whole_group(board: Board, group: str) -> bool:
    """Whether the board has every task that the paper counts in a group."""
    wanted = {"easy": EASY, "hard": HARD}.get(group)
    return wanted is None or set(wanted) <= {benchmark(task) for task in board.groups[group]}


@dataclass(frozen=True)
class Comparison:
    """One method against another, on one column."""

    test: PairedTest
    p_adjusted: float  # Holm, over all comparisons of the board

    @property
    def change(self) -> Change | None:
        """Whether the difference holds."""
        if not self.p_adjusted < ALPHA:
            return None
        return Change.BETTER if self.test.difference.estimate > 0 else Change.WORSE


class AgainstDense:
    """Every method of a board against dense, on every column; corrected for all of them together."""

    def __init__(self, board: Board) -> None:
        """Test all; does nothing where the board has no dense run, or several."""
        self.reference = board.dense
        keys: list[tuple[str, ScoreColumn]] = []
        tests: list[PairedTest] = []
        for method in board.methods:
            if self.reference is None or method is self.reference:
                continue
            pairs = pair_up(self.reference, method, board.tasks)
            for column, _ in score_columns(board, overall=True):
                test = compare_pairs(pairs, column.tasks(board))
                if test is not None:
                    keys.append((method.name, column))
                    tests.append(test)
        adjusted = holm([test.p_value for test in tests])
        self.found = {key: Comparison(test, p) for key, test, p in zip(keys, tests, adjusted, strict=True)}

    def change(self, method: Method, column: ScoreColumn) -> Change | None:
        """Whether the method differs from dense there."""
        comparison = self.found.get((method.name, column))
        return None if comparison is None else comparison.change

    @property
    def sentence(self) -> str:
        """What the marks mean; empty where nothing was tested."""
        if not self.found:
            return ""
        return (
            f"Triangles mark what differs from dense on paired samples (permutation test over task units, Holm over "
            f"{len(self.found)} comparisons, level {ALPHA}): up is better, down is worse."
        )


Pairs = Mapping[str, tuple[TaskUnits, TaskUnits]]  # task -> units of two methods in the same order


def pair_up(left: Method, right: Method, tasks: Sequence[str]) -> Pairs:
    """The tasks that both ran on the same samples."""
    found = {}
    for task in tasks:
        if task in left.samples and task in right.samples:
            with suppress(ValueError):  # other documents, or other units
                found[task] = paired_units(left.samples[task], right.samples[task])
    return found


def compare_pairs(pairs: Pairs, tasks: Sequence[str]) -> PairedTest | None:
    """Paired test over tasks, second less first; None where one of them is not paired, or nothing can be scored."""
    if not all(task in pairs for task in tasks):
        return None
    scored = [pairs[task] for task in tasks if pairs[task][0].strata]
    return compare_units(scored) if scored else None


def compare(left: Method, right: Method, tasks: Sequence[str]) -> PairedTest | None:
    """The same for two methods."""
    return compare_pairs(pair_up(left, right, tasks), tasks)


def setting_sentence(board: Board) -> str:
    """What the numbers stand for; opens every caption."""
    text = setting_label(board.setting)
    return f"{text[0].upper()}{text[1:]}."


INTERVALS = "Below each number its 95 % bootstrap interval over task units, where it is wider than the digits shown."
RANKS = "Bold: best; underlined: second best."


def saving_cell(method: Method, accounting: str, task: str | None = None) -> Cell:
    """A task's saving, or the plain mean over all tasks; empty where a cost is unknown or a task is missing."""
    summary = method.overall if task is None else method.tasks.get(task)
    return score_cell(None if summary is None else summary.saving.get(accounting), kind=Kind.SAVING)


def method_cell(method: Method) -> Cell:
    """A row's name, with what must be known about it."""
    notes = []
    if method.is_imported:
        notes.append("Imported from plain lmms-eval logs; its cost is unknown unless the model logged it.")
    if len(method.runs) > 1:
        notes.append(f"{method.name}: tasks from the runs {', '.join(run.run_id for run in method.runs)}.")
    return Cell(value=method.name, notes=tuple(notes))


def tested_row(method: Method, columns: Sequence[tuple[ScoreColumn, Column]], tests: AgainstDense) -> list[Cell]:
    """The method's scores, marked where they differ from dense."""
    return [score_cell(column.score(method), change=tests.change(method, column)) for column, _ in columns]


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What the paper prints for a method on a backbone, joined over its tables."""

    values: Mapping[str, Cell]  # benchmark, avg_easy, avg_hard, saving -> number as printed, with its footnotes
    tables: tuple[str, ...]  # where they are printed


def is_papers_suite(board: Board) -> bool:
    """Whether the board's questions are those that the paper's numbers are about."""
    return board.setting.suite == "paper" and board.setting.limit is None and not board.setting.shuffled


def printed_beside(board: Board, method: Method) -> Printed | None:
    """The paper's values for the same suite, method and backbone; None where it prints none."""
    if not is_papers_suite(board) or method.is_imported or method.backbone is None:
        return None
    values: dict[str, Cell] = {}
    tables: list[str] = []
    for name in _SIDE_BY_SIDE:
        for row in printed_table(name):
            if (row.ours, row.backbone) != (method.variant, method.backbone) or row.quantity == "flops_saving":
                continue
            wrong = disagreements(row)
            before = len(values)
            for key, value in row.values.items():
                note = (wrong[key],) if key in wrong else ()
                cell = Cell(value=value, notes=note, digits=row.digits[key])
                values.setdefault("saving" if key.endswith("flops_saving") else key, cell)
            tables += [name] if len(values) > before else []
    return Printed(values=values, tables=tuple(tables)) if values else None


def printed_cells(printed: Printed, columns: Sequence[tuple[ScoreColumn, Column]]) -> list[Cell]:
    """Printed scores in the columns of a table."""
    cells = []
    for column, _ in columns:
        key = benchmark(column.name) if column.kind == "task" else f"avg_{column.name}"
        cells.append(printed.values.get(key, EMPTY))
    return cells


def printed_name(method: Method, printed: Printed) -> Cell:
    """Name of the row with the paper's numbers."""
    where = ", ".join(TITLES[table].split(",")[0] for table in printed.tables)
    return Cell(value=f"{method.name}, paper", notes=(f"Printed in the VISOR paper: {where}.",))


SAVINGS = tuple(
    Column(header=accounting, kind=Kind.SAVING, span="Avg. saving", key=f"saving_{accounting}")
    for accounting in ("paper", "exact")
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A method's row, or that of the paper's numbers below it, in parts: tables put them in different orders."""

    name: Cell
    scores: list[Cell]  # in the table's score columns
    savings: list[Cell]  # as in `SAVINGS`
    printed: bool = False

    def row(self, *parts: Sequence[Cell], rule: bool = False) -> Row:
        """The name, then the parts."""
        return plain_row([self.name, *chain.from_iterable(parts)], printed=self.printed, rule=rule)


def own_line(method: Method, columns: Sequence[tuple[ScoreColumn, Column]], tests: AgainstDense) -> Line:
    """What was measured."""
    savings = [saving_cell(method, accounting) for accounting in ("paper", "exact")]
    return Line(name=method_cell(method), scores=tested_row(method, columns, tests), savings=savings)


def printed_line(board: Board, method: Method, columns: Sequence[tuple[ScoreColumn, Column]]) -> Line | None:
    """What the paper prints for the same suite, method and backbone; None where it prints nothing."""
    printed = printed_beside(board, method)
    if printed is None:
        return None
    savings = [printed.values.get("saving", EMPTY), EMPTY]
    scores = printed_cells(printed, columns)
    return Line(name=printed_name(method, printed), scores=scores, savings=savings, printed=True)


def caption(board: Board, *sentences: str) -> str:
    """What the numbers stand for, then the sentences that are not empty."""
    return " ".join(filter(None, (setting_sentence(board), *sentences)))


def plain_row(cells: Sequence[Cell], *, printed: bool = False, rule: bool = False) -> Row:
    """A row from a list."""
    return Row(cells=tuple(cells), printed=printed, rule=rule)
