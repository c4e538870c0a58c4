"""Figures of benches: whether the clock agrees with the FLOPs."""

from visor_eval.analysis.speed import speed
from visor_eval.records.bench import BenchEntry, BenchRecord, Phase
from visor_reports.figures.drawing import Sketch
from visor_reports.figures.speed import Speed, speed_figure
from visor_reports.study import Study
from visor_reports.table import Absent

_NAME = "realised-speed"
_MOST_PANELS = 6


def benches(study: Study) -> list[Sketch | Absent]:
    """Measured over predicted speed-up of the prefill, a panel per image, a figure per bench."""
    if not study.bench:
        return [Absent(name=_NAME, reason="needs a bench: visor-eval bench")]
    return [_sketch(record) for record in study.bench]


def _sketch(record: BenchRecord) -> Sketch | Absent:
    name = f"{_NAME}-{record.run_id.lower()}"
    panels: dict[str, list[Speed]] = {}
    for tokens in record.vision_tokens[:_MOST_PANELS]:
        entries = [entry for entry in record.entries if entry.dense_vision_tokens == tokens]
        found = [one for entry in entries if (one := _point(record, entry)) is not None]
        if found:
            panels[f"prefill, {tokens:,} vision tokens"] = found
    if not panels:
        return Absent(name=name, reason=f"{record.run_id} has no prefill that can be compared with dense")
    weights = "random weights" if record.random_weights else "trained weights"
    return Sketch(
        name=name,
        title="Realised against predicted speed-up",
        caption=f"{record.run_id}: {record.backbone}, {weights}, {record.dtype}, {record.hardware}, {record.threads} "
        f"threads, batch {record.batch_size}, {record.text_tokens} text tokens, n = {record.rounds} rounds in which "
        "all methods ran side by side. Predicted: dense FLOPs over the method's, causal half of attention. Diagonal: "
        "the clock agrees; grey: within 10 %. Bars: 95 % bootstrap intervals over rounds.",
        draw=lambda note: speed_figure(panels, note=note),
    )


def _point(record: BenchRecord, entry: BenchEntry) -> Speed | None:
    """The entry's place, None for dense itself and where nothing can be predicted."""
    try:
        dense = record.reference(entry).timing(Phase.PREFILL)
    except LookupError:
        return None
    timing = entry.timing(Phase.PREFILL)
    if entry.method in ("dense", "transformers") or dense is None or timing is None:
        return None
    found = speed(dense, timing)
    return None if found is None else Speed(method=entry.label, predicted=found.predicted, realised=found.measured)
