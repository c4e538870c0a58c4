"""Does the clock agree: measured speed-up beside the predicted one, per phase, for each bench."""

from visor_eval.analysis.speed import speed
from visor_eval.records.bench import BenchEntry, BenchRecord, Phase
from visor_reports.naming import slugs
from visor_reports.speed import setting
from visor_reports.study import Study
from visor_reports.table import EMPTY, Absent, Cell, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import plain_row

_PHASES = (Phase.PREFILL, Phase.DECODE, Phase.END_TO_END)
_LABELS = {Phase.PREFILL: "Prefill", Phase.DECODE: "Decode", Phase.END_TO_END: "End to end"}


def speed_tables(study: Study) -> list[Table | Absent]:
    """One table per bench."""
    if not study.bench:
        return [Absent(name="realised-speed", reason="needs a bench: visor-eval bench")]
    return [realised_speed(record) for record in study.bench]


def realised_speed(record: BenchRecord) -> Table | Absent:
    """Speed-up over dense, and its ratio to what the FLOPs predict (causal half, as the kernels run)."""
    name = f"realised-speed-{slugs([record.run_id])[0]}"
    rows: list[Row] = []
    for tokens in record.vision_tokens:
        began = len(rows)
        for entry in record.entries:
            if entry.dense_vision_tokens == tokens:
                rows.append(plain_row(_cells(record, entry), rule=bool(rows) and len(rows) == began))
    if not rows:
        return Absent(name=name, reason=f"{record.run_id} measured nothing")
    phases = [
        column
        for phase in _PHASES
        for column in (
            Column(header="ms", kind=Kind.NUMBER, span=_LABELS[phase], key=f"{phase}_ms"),
            Column(header="speed-up", kind=Kind.SAVING, span=_LABELS[phase], key=f"{phase}_speed_up"),
            Column(header="realised", kind=Kind.NUMBER, span=_LABELS[phase], key=f"{phase}_realised"),
        )
    ]
    return Table(
        name=name,
        title="Realised speed",
        caption=f"{record.run_id}: {setting(record)}. All methods took turns in every round. ms: median of the whole "
        "batch (decode: one step). Speed-up: dense's median over the method's. Realised: speed-up over the "
        "predicted one (FLOPs, attention by its causal half); 1 where the clock agrees. Below each number its 95 % "
        "bootstrap interval over rounds.",
        columns=(
            Column(header="Method"),
            Column(header="dense", kind=Kind.COUNT, span="Vision tokens", key="dense_vision_tokens"),
            Column(header="method", kind=Kind.COUNT, span="Vision tokens", key="vision_tokens"),
            *phases,
            Column(header="KV cache, MB", kind=Kind.NUMBER, key="kv_cache_mb"),
            Column(header="peak, MB", kind=Kind.NUMBER, key="peak_mb"),
        ),
        rows=tuple(rows),
    )


def _cells(record: BenchRecord, entry: BenchEntry) -> list[Cell]:
    cells = [
        Cell(value=entry.label),
        Cell(value=float(entry.dense_vision_tokens)),
        Cell(value=float(entry.vision_tokens)),
    ]
    for phase in _PHASES:
        cells += _phase(record, entry, phase)
    held = entry.kv_cache_bytes_held if entry.kv_cache_bytes_held is not None else entry.kv_cache_bytes
    return [*cells, *(EMPTY if one is None else Cell(value=one / 1e6) for one in (held, entry.peak_bytes))]


def _phase(record: BenchRecord, entry: BenchEntry, phase: Phase) -> list[Cell]:
    timing = entry.timing(phase)
    try:
        dense = record.reference(entry).timing(phase)
    except LookupError:
        dense = None
    found = None if timing is None or dense is None else speed(dense, timing)
    if found is None:
        return [EMPTY] * 3
    milliseconds = found.seconds.scaled(1000)
    if entry.method == "dense":
        return [score_cell(milliseconds), EMPTY, EMPTY]
    return [score_cell(milliseconds), score_cell(found.measured), score_cell(found.realised)]
