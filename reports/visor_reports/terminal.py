"""The result table that ends ``visor-eval run``: plain text that reads well in 100 columns.

One table per model (score, 95 % interval, chance, mean self-attention layers, GFLOPs per sample, savings against
dense), groups below the tasks. Several models end in a comparison with one row each; more than three have no tables of
their own.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence

from tabulate import tabulate

from visor_eval.analysis import Interval, RunSummary, Summary, benchmark, summarise
from visor_eval.records import Run
from visor_reports.names import benchmark_short, suite_label

GROUP_NAMES = {"all": "all tasks"}

_HEADERS = ("task", "n", "score", "95 % interval", "chance", "layers", "GFLOPs", "paper", "exact", "95 % interval")
_EMPTY = "-"
_WIDTH = 100
_NAME = 21  # of a method, in tables with one row per method
_TABLES_EACH = 3  # up to so many models get a table each


def result_table(runs: Sequence[Run]) -> str:
    """Return the tables of one or several runs, as text without a final newline.

    Args:
        runs: finished or partly finished runs of one suite, in the order in which they are shown.

    Raises:
        ValueError: no runs, or runs of different suites: their numbers must never share a table.
    """
    if not runs:
        raise ValueError("no runs to show")
    suites = sorted({run.run.suite for run in runs})
    if len(suites) > 1:
        raise ValueError(f"runs of different suites ({', '.join(suites)}) never share a table; show them apart")
    models, summaries = [run.run.model for run in runs], _summaries(runs)
    blocks = []
    if len(runs) <= _TABLES_EACH:
        blocks += [f"{_title(run)}\n{summary_table(summary)}" for run, summary in zip(runs, summaries, strict=True)]
    if len(runs) > 1:
        for group, tasks in _tasks_by_group(runs).items():
            blocks.append(f"Scores: {group}\n{scores_by_task(models, summaries, tasks)}")
        blocks.append(f"Comparison\n{comparison_table(runs, summaries)}")
    return "\n\n".join([f"[{suite_label(suites[0])}]", *blocks, _legend(models, summaries)])


def summary_table(summary: RunSummary) -> str:
    """Return one run's table: tasks, then groups, then all tasks where there are several groups."""
    rows = [_row(task) for task in summary.tasks]
    means = [_row(group, group=True) for group in summary.groups]
    if len(summary.groups) > 1:
        means.append(_row(summary.overall, group=True))
    return ruled(_HEADERS, rows, means)


def comparison_table(runs: Sequence[Run], summaries: Sequence[RunSummary] | None = None) -> str:
    """Return one row per run: each group's mean and that of all tasks, savings, and how long the run took.

    Args:
        runs: of one suite, in the order in which they are shown.
        summaries: of these runs, where they are at hand.
    """
    found = _summaries(runs) if summaries is None else summaries
    groups = _names(group.name for summary in found for group in summary.groups)
    means = [{"all": summary.overall, **{group.name: group for group in summary.groups}} for summary in found]
    columns = [*groups, "all"] if len(groups) > 1 else groups
    rows = []
    for run, mean in zip(runs, means, strict=True):
        exact = mean["all"].saving.get("exact")
        scores = [_with_ends(mean[name].score, 1) if name in mean else _EMPTY for name in columns]
        savings = [_factor(mean["all"].saving.get("paper")), _with_ends(exact, 2)]
        rows.append([_short(run.run.model, _NAME), *scores, *savings, _number(run.run.duration_s, 0)])
    chance = [_highest(mean[name].chance for mean in means if name in mean) for name in columns]
    headers = [
        "method",
        *(f"{name}, 95 %" for name in columns),
        "paper",
        "exact, 95 %",
        "time s",
    ]
    return ruled(headers, rows, [["chance", *(_number(level, 1) for level in chance), "", "", ""]])


def scores_by_task(models: Sequence[str], summaries: Sequence[RunSummary], tasks: Sequence[str] | None = None) -> str:
    """Return one row per model and one column per task (default: all that occur); a missing task is left empty."""
    names = _names(task.name for summary in summaries for task in summary.tasks) if tasks is None else tasks
    rows = []
    for model, summary in zip(models, summaries, strict=True):
        found = {task.name: task for task in summary.tasks}
        scores = [_number(found[name].score.estimate, 1) if name in found else _EMPTY for name in names]
        rows.append([_short(model, _NAME), *scores])
    blind = [
        _highest(task.chance for summary in summaries for task in summary.tasks if task.name == name) for name in names
    ]
    headers = ["method", *map(benchmark_short, names)]
    return ruled(headers, rows, [["chance", *(_number(level, 1) for level in blind)]])


def ruled(headers: Sequence[str], rows: list[list[str]], means: list[list[str]]) -> str:
    """Text columns, the first left-aligned, with a rule below the headers and above the means."""
    align = ("left", *("right" for _ in headers[1:]))
    table = [list(headers), *rows, *means]
    lines = tabulate(table, tablefmt="plain", colalign=align, disable_numparse=True).splitlines()
    widths = [max(len(row[column]) for row in table) for column in range(len(headers))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1 : 1 + len(rows)], rule, *lines[1 + len(rows) :]])


def _summaries(runs: Sequence[Run]) -> list[RunSummary]:
    return [summarise(run.samples, tasks=run.run.tasks, chance=run.run.chance) for run in runs]


def _tasks_by_group(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Group -> its tasks, both in order of occurrence."""
    group_of = {sample.task: sample.group for run in runs for sample in run.samples}
    found: dict[str, list[str]] = {}
    for task in _names(task for run in runs for task in run.run.tasks if task in group_of):
        found.setdefault(group_of[task], []).append(task)
    return found


def _names(names: Iterable[str]) -> list[str]:
    """Each once, in order of occurrence."""
    return list(dict.fromkeys(names))


def _title(run: Run) -> str:
    record = run.run
    parts = [record.checkpoint, f"{record.suite} suite", record.status, f"run {record.run_id}"]
    title = f"{record.model}  ({', '.join(parts)})"
    return title if len(title) <= _WIDTH else f"{record.model}\n({', '.join(parts)})"


def _row(summary: Summary, *, group: bool = False) -> list[str]:
    name = GROUP_NAMES.get(summary.name, f"mean {summary.name}") if group else benchmark(summary.name)
    exact = summary.saving.get("exact")
    return [
        name,
        str(summary.samples),
        _number(summary.score.estimate, 1),
        _ends(summary.score, 1),
        _number(summary.chance, 1),
        _number(summary.layers, 1),
        _gflops(summary.flops),
        _times(summary.saving.get("paper")),
        _times(exact),
        _ends(exact, 2),
    ]


def _with_ends(interval: Interval | None, digits: int) -> str:
    """Estimate and interval in one cell: 50.1 47.2-53.1."""
    if interval is None or math.isnan(interval.estimate):
        return _EMPTY
    return f"{_number(interval.estimate, digits)} {_ends(interval, digits).replace(' ', '')}"


def _factor(saving: Interval | None) -> str:
    return _times(saving).removesuffix("x")


def _highest(levels: Iterable[float | None]) -> float | None:
    return max((level for level in levels if level is not None), default=None)


def _legend(models: Sequence[str], summaries: Sequence[RunSummary]) -> str:
    lines = [
        "score: 0-100, 95 % bootstrap interval over task units; chance: best image-blind answerer; layers:",
        "mean self-attention layers; GFLOPs: executed decoder prefill per sample (multiply-add = 2); savings",
        "against dense on the same samples, as ratios of means: paper = vision tokens x layers of one tile,",
        "exact = executed decoder FLOPs; group rows are plain means over tasks.",
    ]
    if len(models) > 1:
        lines.append("Comparison: savings over all tasks; chance: the highest of these runs; time s: the whole run.")
    for task, found in _by_task(
        models, summaries, lambda task: _number(task.cognition, 1) if task.cognition is not None else ""
    ):
        lines.append(_wrapped(f"{task} cognition, not in the score: {found}"))
    for task, found in _by_task(models, summaries, lambda task: str(task.incomplete) if task.incomplete else ""):
        lines.append(_wrapped(f"{task}: question pairs left out because one of the two is missing: {found}"))
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _by_task(
    models: Sequence[str], summaries: Sequence[RunSummary], text: Callable[[Summary], str]
) -> list[tuple[str, str]]:
    """(benchmark, "model text, model text") for the tasks about which there is something to say."""
    found: dict[str, list[str]] = {}
    for model, summary in zip(models, summaries, strict=True):
        for task in summary.tasks:
            if text(task):
                found.setdefault(benchmark(task.name), []).append(f"{_short(model)} {text(task)}")
    return [(task, ", ".join(parts)) for task, parts in found.items()]


def _number(value: float | None, digits: int) -> str:
    return _EMPTY if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _gflops(flops: float | None) -> str:
    if flops is None:
        return _EMPTY
    value = flops / 1e9
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def _times(saving: Interval | None) -> str:
    if saving is None or math.isnan(saving.estimate):
        return _EMPTY
    return "inf" if math.isinf(saving.estimate) else f"{saving.estimate:.2f}x"


def _ends(interval: Interval | None, digits: int) -> str:
    if interval is None or math.isnan(interval.low) or math.isinf(interval.high):
        return _EMPTY
    return f"{interval.low:.{digits}f} - {interval.high:.{digits}f}"


def _short(model: str, width: int = 24) -> str:
    return model if len(model) <= width else f"{model[: width - 3]}..."
