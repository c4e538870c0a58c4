"""Figures of CKA runs: how vision features change over the layers."""

from collections.abc import Sequence

from visor_eval.analysis import Interval
from visor_eval.analysis.cka import summarise_cka
from visor_eval.records.cka import CkaRun
from visor_reports.comparable import side_by_side
from visor_reports.figures.cka import Band, cka_curves, cka_heatmaps
from visor_reports.figures.drawing import Sketch
from visor_reports.names import suite_label
from visor_reports.study import Study
from visor_reports.table import Absent

_CURVES = ("CKA, before and after the layer", "CKA, after layer 1 and the layer")


def similarity(study: Study) -> list[Sketch | Absent]:
    """Heatmaps and curves of the newest CKA run of each model, suite by suite."""
    if not study.cka:
        return [
            Absent(name=name, reason="needs a CKA run (visor-eval cka --model dense,visor)")
            for name in ("cka", "cka-curves")
        ]
    parts = side_by_side(study.cka)
    found: list[Sketch | Absent] = []
    for number, part in enumerate(parts):
        newest = {run.run.model: run for run in part}
        suffix = "" if len(parts) == 1 else f"-{number + 1}"
        found += _sketches(part[0].run.suite, list(newest.values()), suffix=suffix)
    return found


def _sketches(suite: str, runs: Sequence[CkaRun], *, suffix: str) -> list[Sketch | Absent]:
    reports = {run.run.model: summarise_cka(run.samples, tasks=run.run.tasks) for run in runs}
    groups = [(model, group) for model, report in reports.items() for group in report.groups]
    depths = {group.layers for _, group in groups}
    reason = "the models have different depths" if len(depths) > 1 else "no group was measured" if not groups else ""
    if reason:
        return [Absent(name=f"{name}{suffix}", reason=reason) for name in ("cka", "cka-curves")]
    depth = depths.pop()
    estimators = sorted({str(run.run.config.get("estimator", "biased")) for run in runs})
    samples = sorted({len(run.samples) for run in runs})
    base = (
        f"{suite_label(suite)}. Linear CKA of vision features ({', '.join(estimators)} estimator), mean over samples; "
        f"groups: plain mean of tasks; n = {' to '.join(f'{count:,}' for count in samples)} samples per model."
    )
    matrices = {f"{model}, {group.name}": group.matrix.mean for model, group in groups}
    curves = {
        f"{model}, {what}": {group.name: _band(getattr(group, key)) for group in report.groups}
        for model, report in reports.items()
        for what, key in (("layer by layer", "consecutive"), ("from layer 1 on", "first"))
    }
    return [
        Sketch(
            name=f"cka{suffix}",
            title="Similarity of vision features between layers",
            caption=f"{base} State 0 enters the decoder, state k is what layer k leaves; a layer that leaves vision "
            "alone repeats its state.",
            draw=lambda note: cka_heatmaps(matrices, [str(state) for state in range(depth + 1)], note=note),
        ),
        Sketch(
            name=f"cka-curves{suffix}",
            title="How vision features evolve over the layers",
            caption=f"{base} Bands: 95 % bootstrap intervals over images.",
            draw=lambda note: cka_curves(curves, range(1, depth + 1), labels=_CURVES, note=note),
        ),
    ]


def _band(intervals: Sequence[Interval]) -> Band:
    return Band(
        estimate=[one.estimate for one in intervals],
        low=[one.low for one in intervals],
        high=[one.high for one in intervals],
    )
