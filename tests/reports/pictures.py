"""Synthetic inputs for every figure: nothing here was measured."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import SubFigure

from visor_eval.analysis import Interval
from visor_eval.analysis.frontier import Candidate
from visor_eval.cost.configurations import PAPER_CONFIGURATIONS
from visor_reports import style
from visor_reports.figures.assignments import layer_distribution, router_assignments
from visor_reports.figures.cka import Band, cka_curves, cka_heatmaps
from visor_reports.figures.configurations import configuration_scores, relative_heatmap
from visor_reports.figures.fronts import front_figure
from visor_reports.figures.keep_ratio import Kept, keep_ratio_figure
from visor_reports.figures.speed import Speed, speed_figure

GROUPS = {
    "easy": tuple(
        f"{name}_mini"
        for name in ("realworldqa", "scienceqa_img", "gqa", "mme", "mmstar", "pope", "textvqa_val", "ai2d")
    ),
    "hard": tuple(f"{name}_mini" for name in ("chartqa", "ocrbench", "infovqa_val", "docvqa_val")),
}
TASKS = tuple(task for tasks in GROUPS.values() for task in tasks)
NOTE = (
    "synthetic test data; n = 120 samples per task, 1,440 in all; bands and bars: 95 % bootstrap intervals over task "
    "units; cost: exact accounting (executed decoder prefill FLOPs, multiply-add = 2)"
)


def around(value: float, half: float = 2.0) -> Interval:
    return Interval(value, value - half, value + half)


def fronts() -> SubFigure:
    rng = np.random.default_rng(0)

    def one(name: str) -> Candidate:
        price, score = (1.2e9, 62.0) if name == "dense" else (float(rng.uniform(6e7, 5e8)), float(rng.uniform(30, 60)))
        return Candidate(
            name=name,
            cost=price,
            score=score,
            cost_draws=price * (1 + 0.01 * rng.standard_normal(200)),
            score_draws=score + 1.5 * rng.standard_normal(200),
        )

    names = [*style.methods(), "visor+visionzip"]
    return front_figure({group: [one(name) for name in names] for group in GROUPS}, note=NOTE)


def relative() -> SubFigure:
    scores = {
        layers: {task: 40.0 + (5 * len(layers) if task in GROUPS["hard"] else 0) for task in TASKS}
        for layers in PAPER_CONFIGURATIONS
    }
    return relative_heatmap(scores, GROUPS, note=NOTE)


def by_configuration() -> SubFigure:
    """Lines that end at the same height, so that their names have to be moved apart."""
    scores = {task: {layers: 50.0 + len(layers) for layers in PAPER_CONFIGURATIONS} for task in TASKS}
    means = {group: {layers: around(50.0 + len(layers)) for layers in PAPER_CONFIGURATIONS} for group in GROUPS}
    return configuration_scores(scores, means, GROUPS, note=NOTE)


def router() -> SubFigure:
    counts = {
        task: {PAPER_CONFIGURATIONS[index % 13]: 80, PAPER_CONFIGURATIONS[12]: 40} for index, task in enumerate(TASKS)
    }
    return router_assignments(counts, GROUPS, PAPER_CONFIGURATIONS, note=NOTE)


def oracle() -> SubFigure:
    chosen = {task: {2: 60 + index, 3: 20, 4: 20, 5: 10, 6: 6, 7: 4} for index, task in enumerate(TASKS)}
    return layer_distribution({"oracle": chosen, "router": chosen}, GROUPS, note=NOTE)


def kept() -> SubFigure:
    rng = np.random.default_rng(1)
    points = [
        Kept(method=name, share=float(rng.uniform(0.08, 0.6)), score=around(float(rng.uniform(30, 60))))
        for name in style.methods()
        for _ in range(3 if name == "m3" else 1)
    ]
    return keep_ratio_figure(dict.fromkeys(GROUPS, points), note=NOTE)


def speed() -> SubFigure:
    names = ["visor [1, 4]", "visor [1, 7, 16]", "visionzip", "vispruner", "pyramiddrop", "fastv"]
    points = [Speed(method=name, predicted=2.0 + n, realised=around(1.8 + n, 0.2)) for n, name in enumerate(names)]
    return speed_figure({"prefill, 1,458 vision tokens": points, "prefill, 3,645 vision tokens": points}, note=NOTE)


def similarity() -> SubFigure:
    layers = np.arange(25)
    values = np.exp(-np.abs(np.subtract.outer(layers, layers)) / 20)
    values[3, 5] = values[5, 3] = np.nan
    panels = {f"{model}, {group}": values for model in ("dense", "visor") for group in GROUPS}
    return cka_heatmaps(panels, [str(layer) for layer in layers], note=NOTE)


def curves() -> SubFigure:
    line = np.linspace(1, 0.5, 24)
    band = Band(estimate=line, low=line - 0.03, high=line + 0.03)
    titles = [f"{model}, {what}" for model in ("dense", "visor") for what in ("layer by layer", "from layer 1 on")]
    panels = {title: dict.fromkeys(GROUPS, band) for title in titles}
    return cka_curves(panels, range(1, 25), labels=("CKA, before and after", "CKA, after layer 1"), note=NOTE)


FIGURES: Mapping[str, Callable[[], SubFigure]] = {
    each.__name__: each
    for each in (fronts, relative, by_configuration, router, oracle, kept, speed, similarity, curves)
}
