"""Figures of sweeps, CKA runs and benches: the numbers shown are those of the records."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from tests.analysis import sweeps as made
from tests.analysis.test_cka import cka_sample
from tests.records.benches import entry, record, timing
from tests.records.examples import run
from tests.reports.studies import write_run
from visor_eval.cost.configurations import PAPER_CONFIGURATIONS
from visor_eval.records.bench import BenchEntry, BenchRecord
from visor_eval.records.cka import CkaRun
from visor_eval.records.sweep import Sweep
from visor_reports import style
from visor_reports.figures.drawing import Sketch
from visor_reports.figures.of_bench import benches
from visor_reports.figures.of_cka import similarity
from visor_reports.figures.of_sweeps import sweeps
from visor_reports.reading import read_study
from visor_reports.study import Board, Study
from visor_reports.table import Absent


@pytest.fixture
def study(tmp_path: Path) -> Study:
    write_run(tmp_path, "visor", counts=4, tasks=("gqa", "docvqa_val"))
    return read_study(tmp_path)


def swept(*, generated: bool = True) -> Sweep:
    """The router sends all to four layers."""
    samples = made.easy_and_hard(PAPER_CONFIGURATIONS, count=10, hard=7, generated=generated, routed=(1, 4, 7, 16))
    record = replace(run(), config={"configurations": [list(layers) for layers in PAPER_CONFIGURATIONS]}, model="visor")
    return Sweep(run=record, samples=tuple(samples))


def with_sweep(study: Study, *found: Sweep) -> Board:
    return replace(study.boards[0], sweeps=found)


def said(sketch: Sketch) -> list[str]:
    with style.styled():
        return [text.get_text() for text in sketch.draw(sketch.caption).findobj(Text) if text.get_text()]


def test_sweep_figures(study: Study) -> None:
    found = {sketch.name: sketch for sketch in sweeps(with_sweep(study, swept()))}
    assert list(found) == ["s1-configurations", "s3-configuration-scores", "s4-oracle"]
    for sketch in found.values():
        assert isinstance(sketch, Sketch)
        assert "n = 10 samples per task, 20 in all" in sketch.caption
        assert "mini suite: synthetic" in sketch.caption
    heat = Counter(said(found["s1-configurations"]))  # type: ignore[arg-type]
    assert heat["50"] == 12  # hard, all but the largest configuration
    assert heat["100"] >= 14
    bars = Counter(said(found["s4-oracle"]))  # type: ignore[arg-type]
    assert bars["2.0"] == 1  # oracle, easy: mean layers
    assert bars["4.5"] == 1  # oracle, hard: half two, half seven
    assert bars["4.0"] == 2  # router


def test_scores_by_configuration(study: Study) -> None:
    sketch = next(one for one in sweeps(with_sweep(study, swept())) if one.name == "s3-configuration-scores")
    assert isinstance(sketch, Sketch)
    with style.styled():
        easy, hard = sketch.draw("").axes
    assert list(easy.lines[-1].get_ydata()) == [100] * 13
    assert list(hard.lines[-1].get_ydata()) == [50] * 12 + [100]


def test_sweep_without_answers_has_no_scores(study: Study) -> None:
    found = {sketch.name: sketch for sketch in sweeps(with_sweep(study, swept(generated=False)))}
    assert list(found) == ["s1-configurations", "s4-oracle"]
    heat = found["s1-configurations"]
    assert isinstance(heat, Sketch)
    assert "teacher forcing" in heat.caption


def test_several_sweeps_have_names_of_their_own(study: Study) -> None:
    other = swept()
    found = [one.name for one in sweeps(with_sweep(study, swept(), replace(other, run=replace(other.run, run_id="b"))))]
    assert len(found) == len(set(found)) == 6


def test_without_records_there_is_a_reason(study: Study) -> None:
    for one in (*sweeps(study.boards[0]), *similarity(study), *benches(study)):
        assert isinstance(one, Absent)
        assert "visor-eval" in one.reason


def test_cka_figures(study: Study) -> None:
    samples = [
        cka_sample(number, (first, 0.4, 0.7), task=task, group=group)
        for task, group, first in (("gqa", "easy", 0.9), ("docvqa_val", "hard", 0.5))
        for number in range(3)
    ]
    runs = tuple(
        CkaRun(run=replace(run(), model=model, tasks=("gqa", "docvqa_val")), samples=tuple(samples))
        for model in ("dense", "visor")
    )
    heat, curves = similarity(replace(study, cka=runs))
    assert isinstance(heat, Sketch)
    assert isinstance(curves, Sketch)
    assert "n = 6 samples per model" in heat.caption
    titles = said(heat)
    assert {"dense, easy", "dense, hard", "visor, easy", "visor, hard"} <= set(titles)
    with style.styled():
        panels = curves.draw("").axes
    assert len(panels) == 4
    easy, hard = panels[0].lines
    assert np.asarray(easy.get_ydata())[0] == pytest.approx(0.9)
    assert np.asarray(hard.get_ydata())[0] == pytest.approx(0.5)


def bench() -> BenchRecord:
    def timed(method: str, seconds: float, flops: int, configuration: tuple[int, ...] | None = None) -> BenchEntry:
        return entry(method, 1458, configuration, [timing("prefill", (seconds,) * 5, 2 * flops, flops)])

    timings = (timed("dense", 8.0, 800), timed("visor", 2.0, 100, (1, 4)), timed("transformers", 8.0, 800))
    return record(*timings, run_id="20260101-Bench", rounds=5)


def test_bench_figure(study: Study) -> None:
    (sketch,) = benches(replace(study, bench=(bench(),)))
    assert isinstance(sketch, Sketch)
    assert sketch.name == "realised-speed-20260101-bench"
    assert "random weights" in sketch.caption
    assert "n = 5 rounds" in sketch.caption
    with style.styled():
        (axes,) = sketch.draw("").axes
    points = [(line.get_xdata(), line.get_ydata()) for line in axes.lines if line.get_label() == "visor [1, 4]"]
    assert np.asarray(points).ravel() == pytest.approx([8.0, 4.0])  # predicted, measured
    assert "prefill, 1,458 vision tokens" in said(sketch)


def test_bench_without_dense(study: Study) -> None:
    (sketch,) = benches(replace(study, bench=(replace(bench(), entries=bench().entries[1:2]),)))
    assert isinstance(sketch, Absent)
    assert "compared with dense" in sketch.reason
