"""Where the FLOPs go: mean cost per sample by component, prefill and decode, each with its interval."""

from collections.abc import Sequence

import numpy as np

from visor_eval.analysis.intervals import Interval, bootstrap_sums
from visor_eval.analysis.savings import all_units, has_cost
from visor_eval.records import COMPONENTS, CostRecord, SampleRecord
from visor_reports.study import Board, Method
from visor_reports.table import EMPTY, Absent, Cell, Column, Kind, Row, Table, score_cell
from visor_reports.tables.scoring import method_cell, plain_row, setting_sentence

_GIGA = 1e9
_NAMES = {
    "tower": "tower",
    "projector": "projector",
    "reducer": "reducer",
    "projections": "projections",
    "attention": "attention",
    "mlp": "MLP",
    "cross_attention": "cross-attention",
    "router": "router",
    "lm_head": "LM head",
}


def cost_breakdown(board: Board) -> Table | Absent:
    """GFLOPs per sample by component (plain mean over tasks), decode steps, whole, vision tokens, KV cache."""
    name = f"cost-breakdown-{board.slug}"
    methods = [m for m in board.methods if m.overall is not None and all(map(has_cost, m.samples.values()))]
    if not methods:
        return Absent(name=name, reason="no method with known costs on all tasks of this suite")
    heads = [Column(header=_NAMES[part], kind=Kind.NUMBER, span="Prefill, GFLOPs", key=part) for part in COMPONENTS]
    every = (
        Column(header="Method"),
        *heads,
        Column(header="decode", kind=Kind.NUMBER, span="GFLOPs"),
        Column(header="whole", kind=Kind.NUMBER, span="GFLOPs"),
        Column(header="vision tokens", kind=Kind.NUMBER, key="vision_tokens"),
        Column(header="layers", kind=Kind.NUMBER, key="self_attention_layers"),
        Column(header="KV cache, MB", kind=Kind.NUMBER, key="kv_cache_mb"),
        Column(header="end to end", kind=Kind.SAVING, span="Avg. saving", key="saving_end_to_end"),
    )
    rows = [_row(method) for method in methods]
    return Table(
        name=name,
        title="Cost by component",
        caption=f"{setting_sentence(board)} Executed FLOPs per sample (multiply-add = 2), plain means over tasks, with "
        "95 % bootstrap intervals over task units. Not counted: norms, activations, softmax, rotary positions. layers: "
        "decoder layers that process vision tokens. End to end: with tower, projector, reducer and decode steps.",
        columns=every,
        rows=tuple(rows),
    )


def _row(method: Method) -> Row:
    estimates, draws = [], []
    for samples in method.samples.values():
        estimate, drawn = _task_means(samples)
        estimates.append(estimate)
        draws.append(drawn)
    mean, resampled = np.mean(estimates, axis=0), np.mean(draws, axis=0)
    cells = [_cell(value, column) for value, column in zip(mean, resampled.T, strict=True)]
    saving = None if method.overall is None else method.overall.saving.get("end_to_end")
    return plain_row([method_cell(method), *cells, score_cell(saving)])


def _cell(value: float, draws: np.ndarray) -> Cell:
    """A mean with its interval; a component that the method does not have is empty."""
    if value == 0 and not draws.any():
        return EMPTY
    return Cell(value=float(value), interval=Interval.from_draws(float(value), draws))


def _task_means(samples: Sequence[SampleRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Mean per sample of every column, and resampled: [columns], [resamples, columns]."""
    units = all_units(samples)
    columns = np.array([_sums(members) for members in units.samples])  # the last column counts samples
    drawn = bootstrap_sums(units, columns).sum(axis=1)
    whole = columns.sum(axis=0)
    return whole[:-1] / whole[-1], drawn[:, :-1] / drawn[:, -1:]


def _sums(members: Sequence[SampleRecord]) -> list[float]:
    costs = [sample.cost for sample in members if sample.cost is not None]
    return [*map(sum, zip(*map(_columns, costs), strict=True)), float(len(costs))]


def _columns(cost: CostRecord) -> list[float]:
    parts = [cost.prefill.component(part) / _GIGA for part in COMPONENTS]
    decode = cost.decode.total() / _GIGA
    layers = float(cost.self_attention_layers)
    return [*parts, decode, sum(parts) + decode, float(cost.vision_tokens), layers, cost.kv_cache_bytes / 1e6]
