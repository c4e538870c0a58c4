"""Figures of a sweep, in which every configuration answered every sample: S1, S3 and S4."""

from collections import Counter
from collections.abc import Mapping, Sequence

from visor_eval.analysis import group_interval, task_score, task_units
from visor_eval.analysis.menus import oracle_choice
from visor_eval.records.sweep import Sweep, SweepSample
from visor_reports.figures.assignments import layer_distribution
from visor_reports.figures.configurations import configuration_scores, relative_heatmap
from visor_reports.figures.drawing import Sketch
from visor_reports.names import setting_label
from visor_reports.study import Board
from visor_reports.table import Absent

Layers = tuple[int, ...]

_NAMES = ("s1-configurations", "s3-configuration-scores", "s4-oracle")
_MOST_SHOWN = 40  # configurations along the axis of S3


def sweeps(board: Board) -> list[Sketch | Absent]:
    """S1, S3 and S4 of every sweep of the board."""
    if not board.sweeps:
        return [Absent(name=name, reason="needs a sweep (visor-eval oracle --model visor)") for name in _NAMES]
    return [one for sweep in board.sweeps for one in _sketches(board, sweep, alone=len(board.sweeps) == 1)]


def _sketches(board: Board, sweep: Sweep, *, alone: bool) -> list[Sketch | Absent]:
    by_task: dict[str, list[SweepSample]] = {}
    for sample in sweep.samples:
        by_task.setdefault(sample.task, []).append(sample)
    groups = {name: [task for task in tasks if task in by_task] for name, tasks in board.groups.items()}
    groups = {name: tasks for name, tasks in groups.items() if tasks}
    order = sorted(sweep.configurations, key=lambda layers: (len(layers), layers))
    generated = all(result.score is not None for sample in sweep.samples for result in sample.results)
    scores = {
        task: {layers: _score(samples, layers, generated=generated) for layers in order}
        for task, samples in by_task.items()
    }
    model, suffix = sweep.run.model, "" if alone else f"-{sweep.run.run_id}"
    counts = {len(samples) for samples in by_task.values()}
    each = f"{min(counts):,}" if len(counts) == 1 else f"{min(counts):,} to {max(counts):,}"
    n = f"n = {each} samples per task, {len(sweep.samples):,} in all"
    what = "Task score" if generated else "Share of samples whose whole reference is produced under teacher forcing"
    where = f"{setting_label(board.setting)}; {model}"
    found: list[Sketch | Absent] = [
        Sketch(
            name=f"s1-configurations{suffix}",
            title=f"Every configuration of {model}, relative to the best",
            caption=f"{where}. {what}, in % of the best configuration of the same dataset (100). Small differences are "
            f"noise: one sample is {100 / min(counts):.1f} points of the score. {n}. As figure S1 of the paper.",
            draw=lambda note: relative_heatmap(_transposed(scores, order), groups, note=note),
        )
    ]
    if generated and len(order) <= _MOST_SHOWN:
        found.append(
            Sketch(
                name=f"s3-configuration-scores{suffix}",
                title=f"Accuracy by configuration of {model}",
                caption=f"{where}. {what}, 0-100. Bold: the group's mean with its 95 % bootstrap band over task units; "
                f"thin: its datasets. {n}. As figure S3 of the paper.",
                draw=lambda note: configuration_scores(scores, _means(by_task, groups, order), groups, note=note),
            )
        )
    found.append(
        Sketch(
            name=f"s4-oracle{suffix}",
            title=f"Layers that each sample needs: oracle of {model}",
            caption=f"{where}. The oracle takes the configuration with most tokens of the reference before the first "
            "mismatch, ties to fewer layers; the router is the model's own choice. Share of samples, %. "
            f"{n}. As figure S4 of the paper.",
            draw=lambda note: layer_distribution(_choosers(by_task), groups, note=note),
        )
    )
    return found


def _score(samples: Sequence[SweepSample], layers: Layers, *, generated: bool) -> float:
    if generated:
        return task_score([sample.sample(sample.result(layers)) for sample in samples])
    return 100.0 * sum(sample.result(layers).complete for sample in samples) / len(samples)


def _means(
    by_task: Mapping[str, Sequence[SweepSample]], groups: Mapping[str, Sequence[str]], order: Sequence[Layers]
) -> dict:
    return {
        name: {
            layers: group_interval(
                [task_units([one.sample(one.result(layers)) for one in by_task[task]]) for task in tasks]
            )
            for layers in order
        }
        for name, tasks in groups.items()
    }


def _transposed(
    scores: Mapping[str, Mapping[Layers, float]], order: Sequence[Layers]
) -> dict[Layers, dict[str, float]]:
    return {layers: {task: row[layers] for task, row in scores.items()} for layers in order}


def _choosers(by_task: Mapping[str, Sequence[SweepSample]]) -> dict[str, dict[str, Counter[int]]]:
    oracle = {
        task: Counter(len(one.results[oracle_choice(one)].configuration) for one in samples)
        for task, samples in by_task.items()
    }
    router = {
        task: Counter(len(one.routed) for one in samples if one.routed is not None) for task, samples in by_task.items()
    }
    return {"oracle": oracle, **({"router": router} if all(router.values()) else {})}
