"""Which tasks react to compression at all: what each loses when vision is cut, and how far cutting is free."""

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from visor_eval.analysis import Interval
from visor_eval.analysis.intervals import score_draws
from visor_eval.analysis.paired import paired_units
from visor_reports.names import benchmark_label
from visor_reports.study import Board, Method
from visor_reports.table import EMPTY, Absent, Cell, Change, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import AgainstDense, ScoreColumn, plain_row, setting_sentence

MARGIN = 2.0  # points that a method may lose and still count as free


@dataclass(frozen=True)
class _Loss:
    method: Method
    loss: float  # dense less the method, points
    draws: np.ndarray
    saving: float  # exact


def sensitivity(board: Board, tests: AgainstDense) -> Table | Absent:
    """One line per task: mean and largest loss over the compressing methods, and the largest saving that is free."""
    name = f"sensitivity-{board.slug}"
    if board.dense is None:
        return Absent(name=name, reason="needs exactly one dense run to compare with")
    rows: list[Row] = []
    for group, tasks in board.groups.items():
        for index, task in enumerate(tasks):
            losses = _losses(board, board.dense, task)
            if losses:
                rows.append(_row(board, task, group, losses, tests, rule=index == 0 and bool(rows)))
    if not rows:
        return Absent(name=name, reason="no method that costs less than dense was run on the samples of the dense run")
    return Table(
        name=name,
        title="Which tasks react to compression",
        caption=f"{setting_sentence(board)} Loss is dense's score less a method's, in points, on paired samples, over "
        f"the methods with an exact saving above 1; 95 % bootstrap intervals over task units, that of the "
        f"largest loss takes no account of its being the largest of several. Worse, better: methods whose "
        f"difference from dense holds (Holm over {len(tests.found)} comparisons). Free: the largest exact saving of a "
        f"method whose loss is below {MARGIN:g} points with the whole interval; empty where none is shown to be free.",
        columns=(
            Column(header="Task"),
            Column(header="Group"),
            Column(header="dense", kind=Kind.SCORE, span="Score", key="dense"),
            Column(header="methods", kind=Kind.COUNT),
            Column(header="mean", kind=Kind.DIFFERENCE, span="Loss", key="loss_mean"),
            Column(header="largest", kind=Kind.DIFFERENCE, span="Loss", key="loss_largest"),
            Column(header="by", span="Loss", key="loss_by"),
            Column(header="worse", kind=Kind.COUNT),
            Column(header="better", kind=Kind.COUNT),
            Column(header="free", kind=Kind.SAVING, span="Saving", key="free"),
            Column(header="with", span="Saving", key="free_with"),
        ),
        rows=tuple(rows),
    )


def _losses(board: Board, dense: Method, task: str) -> list[_Loss]:
    found = []
    for method in board.methods:
        saving = method.tasks[task].saving.get("exact") if task in method.tasks else None
        if method is dense or saving is None or saving.estimate <= 1.0 or task not in dense.samples:
            continue
        try:
            theirs, mine = paired_units(dense.samples[task], method.samples[task])
        except ValueError:  # other samples
            continue
        if mine.strata:
            loss = float(theirs.score(theirs.sums()) - mine.score(mine.sums()))
            found.append(_Loss(method, loss, score_draws(theirs) - score_draws(mine), saving.estimate))
    return found


def _row(board: Board, task: str, group: str, losses: list[_Loss], tests: AgainstDense, *, rule: bool) -> Row:
    dense = board.dense
    mean = Interval.from_draws(fmean(one.loss for one in losses), np.mean([one.draws for one in losses], axis=0))
    worst = max(losses, key=lambda one: one.loss)
    free = [one for one in losses if Interval.from_draws(one.loss, one.draws).high < MARGIN]
    cheapest = max(free, key=lambda one: one.saving, default=None)
    changes = [tests.change(one.method, ScoreColumn("task", task)) for one in losses]
    return plain_row(
        [
            Cell(value=benchmark_label(task)),
            Cell(value=group),
            score_cell(dense.tasks[task].score if dense is not None else None),
            Cell(value=len(losses)),
            score_cell(mean),
            score_cell(Interval.from_draws(worst.loss, worst.draws)),
            Cell(value=worst.method.name),
            Cell(value=changes.count(Change.WORSE)),
            Cell(value=changes.count(Change.BETTER)),
            EMPTY if cheapest is None else score_cell(cheapest.method.tasks[task].saving["exact"]),
            EMPTY if cheapest is None else Cell(value=cheapest.method.name),
        ],
        rule=rule,
    )
