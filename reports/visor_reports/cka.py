"""The table that ends ``visor-eval cka``: plain text that reads well in 100 columns."""

import math
from collections.abc import Sequence

from visor_eval.analysis import Interval, benchmark
from visor_eval.analysis.cka import CkaReport, CkaSummary, summarise_cka
from visor_eval.records.cka import CkaRun
from visor_reports.names import suite_label
from visor_reports.terminal import ruled

_HEADERS = ("task", "n", "images", "states", "least", "at layer", "first-last", "95 % interval", "input-last")


def cka_table(runs: Sequence[CkaRun]) -> str:
    """Return one table per run, as text without a final newline.

    Args:
        runs: with at least one sample each.
    """
    blocks = [f"[{suite_label(suite)}]" for suite in sorted({run.run.suite for run in runs})]
    for run in runs:
        report = summarise_cka(run.samples, tasks=run.run.tasks)
        estimator = run.run.config.get("estimator", "biased")
        title = f"{run.run.model}  ({run.run.checkpoint}, {estimator} linear CKA)"
        blocks.append("\n".join([title, _table(report), *_contrast(report)]))
    return "\n\n".join([*blocks, _LEGEND])


_LEGEND = """\
states: distinct vision states (layers that leave the vision tokens alone repeat one); least:
smallest CKA of the states before and after a layer; first-last: CKA of what layer 1 and what the
last layer leaves; input-last: of what enters the decoder and what the last layer leaves.
Intervals resample images within tasks; group rows are plain means over tasks."""


def _table(report: CkaReport) -> str:
    rows = [_row(benchmark(task.name), task) for task in report.tasks]
    return ruled(_HEADERS, rows, [_row(f"mean {group.name}", group) for group in report.groups])


def _row(name: str, summary: CkaSummary) -> list[str]:
    steps = [step.estimate for step in summary.consecutive]
    least = min((step for step in steps if not math.isnan(step)), default=math.nan)
    last = summary.first[-1]
    return [
        name,
        str(summary.samples),
        str(summary.units),
        f"{summary.distinct:.1f}",
        _number(least),
        "-" if math.isnan(least) else str(1 + steps.index(least)),
        _number(last.estimate),
        f"{_number(last.low)} - {_number(last.high)}",
        _number(summary.matrix.mean[0, -1]),
    ]


def _contrast(report: CkaReport) -> list[str]:
    """Hard against easy, at the last layer and where the step differs most."""
    if report.difference is None:
        return []
    steps = report.difference.consecutive
    size = [0.0 if math.isnan(step.estimate) else abs(step.estimate) for step in steps]
    layer = size.index(max(size))
    return [
        f"hard - easy, first-last: {_signed(report.difference.first[-1])}",
        f"hard - easy, layer {layer + 1} (where one step differs most): {_signed(steps[layer])}",
    ]


def _signed(interval: Interval) -> str:
    return f"{interval.estimate:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
