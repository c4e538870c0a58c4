"""Figures that need nothing but runs: Pareto front, kept vision, the router's choices."""

from collections import Counter
from collections.abc import Mapping, Sequence

from visor_eval.analysis.frontier import Candidate, candidate
from visor_eval.cost.configurations import PAPER_CONFIGURATIONS
from visor_reports.figures.assignments import Layers, router_assignments
from visor_reports.figures.drawing import Sketch
from visor_reports.figures.fronts import front_figure
from visor_reports.figures.keep_ratio import Kept, keep_ratio_figure
from visor_reports.names import setting_label
from visor_reports.study import Board, Method
from visor_reports.table import Absent


def sample_counts(board: Board, tasks: Sequence[str]) -> str:
    """How many samples a figure rests on: "n = 120 samples per task, 1,440 in all"."""
    counts = [max((len(method.samples.get(task, ())) for method in board.methods), default=0) for task in tasks]
    if not counts:
        return "n = 0"
    each = f"{counts[0]:,}" if len(set(counts)) == 1 else f"{min(counts):,} to {max(counts):,}"
    return f"n = {each} samples per task, {sum(counts):,} in all"


def pareto(board: Board) -> Sketch | Absent:
    """Score over executed FLOPs, easy and hard, with the front."""
    groups = {name: _candidates(board, name) for name in board.groups}
    groups = {name: found for name, found in groups.items() if len(found) > 1}
    if not groups:
        return Absent(name="pareto", reason="needs two methods whose cost is known over all tasks of a group")
    return Sketch(
        name="pareto",
        title="Accuracy against cost",
        caption=f"{setting_label(board.setting)}. Line: the best score that can be had for at most so many FLOPs "
        "(Pareto front); its band and the bars: 95 % bootstrap intervals over task units. Cost: exact accounting, "
        "executed decoder prefill FLOPs (multiply-add = 2), log scale. A group is the plain mean of its tasks; "
        f"{sample_counts(board, board.tasks)}.",
        draw=lambda note: front_figure(groups, note=note),
    )


def keep_ratio(board: Board) -> Sketch | Absent:
    """Score over the kept share of the work on vision tokens."""
    groups = {name: _kept(board, name) for name in board.groups}
    groups = {name: found for name, found in groups.items() if len({one.share for one in found}) > 1}
    if not groups:
        return Absent(name="keep-ratio", reason="needs two methods that keep different shares of the vision tokens")
    return Sketch(
        name="keep-ratio",
        title="Accuracy against kept vision",
        caption=f"{setting_label(board.setting)}. Kept: vision tokens x layers that process them, of one tile, as a "
        "share of dense (the paper's accounting), log scale. Lines join settings of one method; bars: 95 % bootstrap "
        f"intervals over task units. A group is the plain mean of its tasks; {sample_counts(board, board.tasks)}.",
        draw=lambda note: keep_ratio_figure(groups, note=note),
    )


def routers(board: Board) -> list[Sketch | Absent]:
    """Figure S2 for every method of which a router chooses the configuration."""
    found = [(method, counts) for method in board.methods if (counts := router_counts(method)) is not None]
    if not found:
        return [Absent(name="s2-router", reason="needs a run of a model with a router (visor-eval run --model visor)")]
    return [_router(board, method, counts, alone=len(found) == 1) for method, counts in found]


def router_counts(method: Method) -> dict[str, Counter[Layers]] | None:
    """Task -> configuration -> samples; None where no router ran."""
    costs = [one.cost for samples in method.samples.values() for one in samples]
    if not any(cost is not None and cost.prefill.router for cost in costs):
        return None
    counts = {
        task: Counter(one.cost.configuration for one in samples if one.cost and one.cost.configuration is not None)
        for task, samples in method.samples.items()
    }
    return counts if any(counts.values()) and all(counts.values()) else None


def _router(board: Board, method: Method, counts: Mapping[str, Counter[Layers]], *, alone: bool) -> Sketch:
    groups = {name: [task for task in tasks if task in counts] for name, tasks in board.groups.items()}
    groups = {name: tasks for name, tasks in groups.items() if tasks}
    chosen = {layers for each in counts.values() for layers in each}
    known = PAPER_CONFIGURATIONS if chosen <= set(PAPER_CONFIGURATIONS) else ()
    rows = sorted(chosen | set(known), key=lambda layers: (len(layers), layers))
    tasks = [task for members in groups.values() for task in members]
    return Sketch(
        name="s2-router" if alone else f"s2-router-{method.slug}",
        title=f"Configurations chosen by the router of {method.name}",
        caption=f"{setting_label(board.setting)}. Share of each dataset's samples, %; in brackets the mean number of "
        "layers that process vision tokens. Configurations never chosen stay as empty rows. "
        f"{sample_counts(board, tasks)}. As figure S2 of the paper.",
        draw=lambda note: router_assignments(counts, groups, rows, note=note),
    )


def _candidates(board: Board, group: str) -> list[Candidate]:
    tasks = board.groups[group]
    return [
        candidate(method.name, {task: method.samples[task] for task in tasks})
        for method in board.methods
        if group in method.groups and method.groups[group].flops is not None
    ]


def _kept(board: Board, group: str) -> list[Kept]:
    found = []
    for method in board.methods:
        summary = method.groups.get(group)
        if summary is None or summary.flops is None:
            continue
        costs = [one.cost for task in board.groups[group] for one in method.samples[task] if one.cost is not None]
        dense = sum(cost.nominal_dense for cost in costs)
        if dense:
            share = sum(cost.nominal for cost in costs) / dense
            found.append(Kept(method=method.model, share=share, score=summary.score))
    return found
