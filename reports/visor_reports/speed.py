"""What a bench measured, as tables: seconds, speed-ups beside their predictions, memory, growth."""

import shlex
from collections.abc import Sequence

from visor_eval.analysis.speed import growth, median, speed
from visor_eval.records.bench import BenchEntry, BenchRecord, Phase
from visor_reports.markdown import markdown
from visor_reports.plain import plain
from visor_reports.table import EMPTY, Cell, Column, Kind, Row, Table

COMPARED = (Phase.PREFILL, Phase.DECODE, Phase.END_TO_END)  # phases that dense has too
NAMES = {Phase.END_TO_END: "end to end"}
CAPTION = (
    "Medians over rounds in which all methods take turns, with 95 % bootstrap intervals over rounds. Predicted: dense "
    "FLOPs over the method's, of attention only the causal half, since both run the causal kernel (full: all pairs). "
    "Realised: measured over predicted; 1 means that the clock agrees."
)
MEGA = 1e6


def speed_text(record: BenchRecord) -> str:
    """All tables for a terminal, without a final newline."""
    return "\n\n".join([setting(record), *(plain(table) for table in speed_tables(record))])


def speed_markdown(record: BenchRecord) -> str:
    """All tables as Markdown, with their provenance."""
    tables = speed_tables(record)
    parts = [markdown(table) for table in tables[:-1]] + [markdown(tables[-1], provenance_lines(record))]
    return f"{setting(record)}\n\n" + "\n".join(parts)


def setting(record: BenchRecord) -> str:
    """One sentence: what was run on what."""
    weights = "random weights" if record.random_weights else "its own weights"
    parts = [
        f"{record.backbone} ({record.layers} decoder layers, {weights})",
        f"{record.dtype}, {record.kernels} kernels",
        record.hardware,
        f"{record.threads} threads",
        f"batch {record.batch_size}",
        f"{record.text_tokens} text tokens",
        f"{record.rounds} rounds",
        f"{record.decode_steps} decode steps",
    ]
    return ", ".join(parts)


def speed_tables(record: BenchRecord) -> list[Table]:
    """Per image: phases compared with dense, then the phases before the decoder, memory; last, growth."""
    tables = []
    for tokens in record.vision_tokens:
        entries = [entry for entry in record.entries if entry.dense_vision_tokens == tokens]
        tables += [_compared(record, entries, phase) for phase in COMPARED if entries[0].timing(phase)]
        tables += [_before(record, entries), _memory(entries)]
    if grown := growth_table(record.entries):
        tables.append(grown)
    return tables


def provenance_lines(record: BenchRecord) -> list[tuple[str, str]]:
    """(name, value): command, code, packages, machine."""
    source = record.provenance
    commit = f"{source.commit or 'unknown'}{' with changes' if source.dirty else ''}"
    return [
        ("record", record.run_id),
        ("command", shlex.join(source.command)),
        ("commit", commit),
        ("packages", ", ".join(f"{name} {version}" for name, version in source.packages.items())),
        ("machine", f"{source.device}, {source.platform}, {source.cpu_count} CPUs, Python {source.python}"),
        ("time", source.utc),
    ]


def _compared(record: BenchRecord, entries: Sequence[BenchEntry], phase: Phase) -> Table:
    rows = []
    for entry in entries:
        timing, dense = entry.timing(phase), record.reference(entry).timing(phase)
        found = speed(dense, timing) if timing and dense else None
        if found is None:
            continue
        seconds = Cell(value=found.seconds.estimate * 1000, interval=found.seconds.scaled(1000))
        cells = [
            Cell(value=entry.label),
            Cell(value=entry.vision_tokens),
            seconds,
            Cell(value=found.measured.estimate, interval=found.measured),
            Cell(value=found.predicted),
            Cell(value=found.realised.estimate, interval=found.realised),
            Cell(value=found.predicted_full),
            Cell(value=found.realised_full.estimate),
        ]
        rows.append(Row(cells=tuple(cells)))
    name = NAMES.get(phase, str(phase))
    tokens = entries[0].dense_vision_tokens
    unit = "ms per token" if phase is Phase.DECODE else "ms"
    columns = (
        Column(header="method"),
        Column(header="vision tokens", kind=Kind.COUNT),
        Column(header=unit, kind=Kind.NUMBER),
        Column(header="measured", kind=Kind.SAVING, span="speed-up"),
        Column(header="predicted", kind=Kind.SAVING, span="speed-up"),
        Column(header="realised", kind=Kind.NUMBER, span="speed-up"),
        Column(header="predicted, full", kind=Kind.SAVING, span="speed-up"),
        Column(header="realised, full", kind=Kind.NUMBER, span="speed-up"),
    )
    title = f"{name[0].upper()}{name[1:]}, {tokens} vision tokens"
    return Table(
        name=f"bench-{phase.replace('_', '-')}-{tokens}",
        title=title,
        caption=CAPTION,
        columns=columns,
        rows=tuple(rows),
    )


def _before(record: BenchRecord, entries: Sequence[BenchEntry]) -> Table:
    """Milliseconds before the decoder, and what a reducer takes of dense's prefill."""
    phases = [phase for phase in (Phase.TOWER, Phase.REDUCER, Phase.PROJECTOR) if any(e.timing(phase) for e in entries)]
    rows = []
    for entry in entries:
        cells = [Cell(value=entry.label)]
        for phase in phases:
            timing = entry.timing(phase)
            cells.append(EMPTY if timing is None else Cell(value=median(timing.seconds).estimate * 1000))
        reducer, dense = entry.timing(Phase.REDUCER), record.reference(entry).timing(Phase.PREFILL)
        share = None
        if reducer is not None and dense is not None:
            share = 100 * median(reducer.seconds).estimate / median(dense.seconds).estimate
        rows.append(Row(cells=(*cells, Cell(value=share))))
    tokens = entries[0].dense_vision_tokens
    return Table(
        name=f"bench-before-{tokens}",
        title=f"Before the decoder, {tokens} vision tokens, ms",
        caption="Reducer: scores from what the tower's hooks caught, selection, layout.",
        columns=(
            Column(header="method"),
            *(Column(header=str(phase), kind=Kind.NUMBER) for phase in phases),
            Column(header="reducer / dense prefill", kind=Kind.PERCENT),
        ),
        rows=tuple(rows),
    )


def _memory(entries: Sequence[BenchEntry]) -> Table:
    def mega(count: int | None) -> Cell:
        return EMPTY if count is None else Cell(value=count / MEGA)

    rows = [
        Row(
            cells=(
                Cell(value=entry.label),
                mega(entry.kv_cache_bytes),
                mega(entry.kv_cache_bytes_held),
                mega(entry.peak_bytes),
            )
        )
        for entry in entries
    ]
    tokens = entries[0].dense_vision_tokens
    return Table(
        name=f"bench-memory-{tokens}",
        title=f"Memory, {tokens} vision tokens, MB",
        caption="KV cache after the last decode step, by formula and as held; peak: beyond weights and inputs, prefill "
        "and decode (on a CPU: resident memory of the process, which the allocator rounds up).",
        columns=(
            Column(header="method"),
            Column(header="KV cache, formula", kind=Kind.NUMBER),
            Column(header="KV cache, held", kind=Kind.NUMBER),
            Column(header="peak", kind=Kind.NUMBER),
        ),
        rows=tuple(rows),
    )


def growth_table(entries: Sequence[BenchEntry]) -> Table | None:
    """Prefill seconds over vision tokens of every method on at least three images; None where there is none."""
    grown = growth(entries, Phase.PREFILL)
    if not grown:
        return None
    counts = sorted({count for line in grown for count in line.tokens})
    rows = []
    for line in grown:
        by_count = dict(zip(line.tokens, line.seconds, strict=True))
        times = [Cell(value=by_count[count] * 1000) if count in by_count else EMPTY for count in counts]
        rows.append(Row(cells=(Cell(value=line.label), *times, Cell(value=line.exponent), Cell(value=line.predicted))))
    return Table(
        name="bench-growth",
        title="Prefill against vision tokens, ms",
        caption="Exponent: slope of time over the dense model's vision tokens on logarithmic axes, least squares; "
        "predicted: the same of the FLOPs, of attention only the causal half.",
        columns=(
            Column(header="method"),
            *(Column(header=str(count), kind=Kind.NUMBER) for count in counts),
            Column(header="exponent", kind=Kind.NUMBER),
            Column(header="predicted", kind=Kind.NUMBER),
        ),
        rows=tuple(rows),
    )
