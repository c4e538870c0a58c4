"""The result table that ends ``visor-eval run``: plain text that reads well in 100 columns.

One table per model (score, 95 % interval, chance, mean self-attention layers, GFLOPs per sample, savings against
dense), groups below the tasks, and with several models a comparison of scores and exact savings side by side.
"""

import math
from collections.abc import Callable, Sequence

from tabulate import tabulate

from visor_eval.analysis import Interval, RunSummary, Summary, benchmark, summarise
from visor_eval.records import Run

SUITE_LABELS = {
    "mini": "mini suite: synthetic, not comparable with the paper's numbers",
    "paper": "paper suite: the real benchmarks",
}

GROUP_NAMES = {"all": "all tasks"}

_HEADERS = ("task", "n", "score", "95 % interval", "chance", "layers", "GFLOPs", "paper", "exact", "95 % interval")
_EMPTY = "-"
_WIDTH = 100


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
    summaries = [summarise(run.samples, tasks=run.run.tasks, chance=run.run.chance) for run in runs]
    blocks = [f"{_title(run)}\n{summary_table(summary)}" for run, summary in zip(runs, summaries, strict=True)]
    if len(runs) > 1:
        blocks.append(f"Side by side: score, exact saving\n{side_by_side([r.run.model for r in runs], summaries)}")
    return "\n\n".join(
        [f"[{SUITE_LABELS.get(suites[0], suites[0])}]", *blocks, _legend([run.run.model for run in runs], summaries)]
    )


def summary_table(summary: RunSummary) -> str:
    """Return one run's table: tasks, then groups, then all tasks where there are several groups."""
    rows = [_row(task) for task in summary.tasks]
    means = [_row(group, group=True) for group in summary.groups]
    if len(summary.groups) > 1:
        means.append(_row(summary.overall, group=True))
    return _ruled(_HEADERS, rows, means)


def side_by_side(models: Sequence[str], summaries: Sequence[RunSummary]) -> str:
    """Return scores and exact savings of several models, one row per task and group; a missing task is left empty."""
    names = list(dict.fromkeys(task.name for summary in summaries for task in summary.tasks))
    groups = list(dict.fromkeys(group.name for summary in summaries for group in summary.groups))
    headers = ["task", *(_short(model) for model in models)]
    rows: list[list[str]] = []
    for name in names:
        found = [{task.name: task for task in summary.tasks}.get(name) for summary in summaries]
        rows.append([benchmark(name), *map(_pair, found)])
    means: list[list[str]] = []
    for name in groups:
        found = [{group.name: group for group in summary.groups}.get(name) for summary in summaries]
        means.append([GROUP_NAMES.get(name, f"mean {name}"), *map(_pair, found)])
    return _ruled(headers, rows, means)


def _ruled(headers: Sequence[str], rows: list[list[str]], means: list[list[str]]) -> str:
    """Text columns, the first left-aligned, with a rule below the headers and above the means."""
    align = ("left", *("right" for _ in headers[1:]))
    table = [list(headers), *rows, *means]
    lines = tabulate(table, tablefmt="plain", colalign=align, disable_numparse=True).splitlines()
    widths = [max(len(row[column]) for row in table) for column in range(len(headers))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1 : 1 + len(rows)], rule, *lines[1 + len(rows) :]])


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


def _pair(summary: Summary | None) -> str:
    if summary is None:
        return _EMPTY
    saving = summary.saving.get("exact")
    return f"{_number(summary.score.estimate, 1)}" + (f" {_times(saving):>7}" if saving else "")


def _legend(models: Sequence[str], summaries: Sequence[RunSummary]) -> str:
    lines = [
        "score: 0-100, 95 % bootstrap interval over task units; chance: best image-blind answerer; layers:",
        "mean self-attention layers; GFLOPs: executed decoder prefill per sample (multiply-add = 2); savings",
        "against dense on the same samples, as ratios of means: paper = vision tokens x layers of one tile,",
        "exact = executed decoder FLOPs; group rows are plain means over tasks.",
    ]
    for task, found in _by_task(
        models, summaries, lambda task: _number(task.cognition, 1) if task.cognition is not None else ""
    ):
        lines.append(f"{task} cognition, not in the score: {found}")
    for task, found in _by_task(models, summaries, lambda task: str(task.incomplete) if task.incomplete else ""):
        lines.append(f"{task}: question pairs left out because one of the two is missing: {found}")
    return "\n".join(lines)


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
