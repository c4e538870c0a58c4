"""The result table says what it shows, is aligned, and fits 100 columns."""

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.examples import mme, mmstar, plain, scored
from tests.records.examples import run
from visor_eval.analysis import summarise
from visor_eval.analysis.scores import SCORING
from visor_eval.records import Run
from visor_reports.terminal import comparison_table, result_table

HARD = ("chartqa", "ocrbench", "infovqa_val", "docvqa_val")


def example(model: str = "visor", *, suite: str = "mini", tasks: tuple[str, ...] = tuple(SCORING)) -> Run:
    rng = np.random.default_rng(len(model))
    samples = []
    for task in tasks:
        group = "hard" if task in HARD else "easy"
        name = f"{task}_mini" if suite == "mini" else task
        full = None if model == "dense" else ((1, 4, 7, 16) if group == "hard" else (1, 4))
        if task in ("mme", "mmstar"):
            metrics = mme(1) if task == "mme" else mmstar(1)
            samples += [scored(name, m, n, group=group, full=full) for n, m in enumerate(metrics)]
        else:
            values = rng.integers(0, 2, 40).astype(float).tolist()
            samples += plain(name, values, SCORING[task].metrics[0], group=group, full=full, vision=2000)
    names = tuple(dict.fromkeys(sample.task for sample in samples))
    record = replace(run(), model=model, suite=suite, tasks=names, chance=dict.fromkeys(names, 25.0), status="finished")
    return Run(run=record, samples=tuple(samples))


def test_one_model() -> None:
    text = result_table([example()])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "mini suite: synthetic, not comparable with the paper's numbers" in lines[0]
    for task in SCORING:
        assert sum(line.startswith(f"{task} ") for line in lines) >= 1
    for group in ("mean easy", "mean hard", "all tasks"):
        assert sum(line.startswith(group) for line in lines) == 1
    assert "12.00x" in next(line for line in lines if line.startswith("gqa"))
    assert "6.00x" in next(line for line in lines if line.startswith("chartqa"))
    assert "mme cognition, not in the score" in text
    table = [line for line in lines if line.startswith(("task ", "gqa", "mean easy", "mean hard", "---"))]
    assert len({len(line) for line in table}) == 1


def test_several_models() -> None:
    runs = [example("dense"), example("visor"), example("visor+visionzip-with-a-long-name")]
    text = result_table(runs)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("mean easy") == len(runs)
    assert "1.00x" in text
    assert result_table(list(reversed(runs))).count("mean easy") == len(runs)


def test_many_models_are_one_comparison() -> None:
    models = ["dense", "visor", "downsample-image", "visor+visionzip", "x", "y+z"]
    runs = [example(model) for model in models]
    runs = [
        Run(
            run=replace(run.run, duration_s=60.0 + n, chance=dict.fromkeys(run.run.tasks, 20.0 + n)),
            samples=run.samples,
        )
        for n, run in enumerate(runs)
    ]
    text = result_table(runs)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "mean easy" not in text  # no table each
    start = lines.index("Comparison") + 1
    rows = {line.split()[0]: line for line in lines[start : lines.index("", start)]}
    assert list(rows) == ["method", "-" * 16, *models, "chance"]
    for shown, model in zip(runs, models, strict=True):
        summary = summarise(shown.samples)
        easy, hard = summary.groups
        cells = rows[model].split()[1:]
        expected = []
        for mean in (easy, hard, summary.overall):
            expected += [f"{mean.score.estimate:.1f}", f"{mean.score.low:.1f}-{mean.score.high:.1f}"]
        exact = summary.overall.saving["exact"]
        expected += [f"{summary.overall.saving['paper'].estimate:.2f}", f"{exact.estimate:.2f}"]
        expected += [f"{exact.low:.2f}-{exact.high:.2f}", f"{shown.run.duration_s:.0f}"]
        assert cells == expected
    assert rows["chance"].split() == ["chance", "25.0", "25.0", "25.0"]  # the highest of the runs
    assert lines[lines.index("Scores: hard") + 1].split() == ["method", "ChartQA", "OCRBench", "InfoVQA", "DocVQA"]


def test_a_comparison_of_one_group() -> None:
    header = comparison_table([example(model, tasks=("gqa",)) for model in ("a", "b")]).splitlines()[0]
    assert header.split() == ["method", "easy,", "95", "%", "paper", "exact,", "95", "%", "time", "s"]


def test_few_tasks_and_unknown_costs() -> None:
    one = example(tasks=("gqa",))
    bare = Run(
        run=replace(one.run, suite="paper", chance={}),
        samples=tuple(replace(sample, cost=None) for sample in one.samples),
    )
    text = result_table([bare])
    assert "paper suite" in text
    assert "not comparable" not in text
    row = next(line for line in text.splitlines() if line.startswith("gqa"))
    assert row.split()[-1] == "-"
    assert "all tasks" not in text


def test_suites_never_share_a_table() -> None:
    with pytest.raises(ValueError, match="different suites \\(mini, paper\\) never share a table"):
        result_table([example(tasks=("gqa",)), example(tasks=("gqa",), suite="paper")])
    with pytest.raises(ValueError, match="no runs"):
        result_table([])


def test_a_model_without_some_tasks() -> None:
    text = result_table([example("dense"), example("visor", tasks=("gqa", "chartqa"))])
    easy = text.split("Scores: easy")[1].splitlines()
    place = easy[1].split().index("POPE")
    assert next(line for line in easy if line.startswith("visor")).split()[place] == "-"
