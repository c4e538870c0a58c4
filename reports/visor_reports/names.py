"""What tasks, suites and configurations are called in tables, figures and on the page."""

from collections.abc import Sequence

from visor_eval.analysis import benchmark
from visor_reports.study import Setting

_BENCHMARKS = {  # benchmark -> (name, short name)
    "realworldqa": ("RealWorldQA", "RWQA"),
    "scienceqa_img": ("ScienceQA", "SQA"),
    "gqa": ("GQA", "GQA"),
    "mme": ("MME", "MME"),
    "mmstar": ("MMStar", "MMStar"),
    "pope": ("POPE", "POPE"),
    "textvqa_val": ("TextVQA", "TextVQA"),
    "ai2d": ("AI2D", "AI2D"),
    "chartqa": ("ChartQA", "ChartQA"),
    "ocrbench": ("OCRBench", "OCRBench"),
    "infovqa_val": ("InfoVQA", "InfoVQA"),
    "docvqa_val": ("DocVQA", "DocVQA"),
}

_SUITES = {
    "mini": "mini suite: synthetic, not comparable with the paper's numbers",
    "paper": "paper suite: the real benchmarks",
}


def benchmark_label(task: str) -> str:
    """A task's benchmark as people write it; an unknown task keeps its own name."""
    return _BENCHMARKS.get(benchmark(task), (task, task))[0]


def benchmark_short(task: str) -> str:
    """The same, at most eight letters for the twelve benchmarks."""
    return _BENCHMARKS.get(benchmark(task), (task, task))[1]


def suite_label(suite: str) -> str:
    """What a suite is, with the warning that belongs to it."""
    return _SUITES.get(suite, f"{suite} suite")


def setting_label(setting: Setting) -> str:
    """What the runs of a board share, in words: suite, selection of samples, blind control."""
    parts = [suite_label(setting.suite)]
    if setting.limit is not None:
        parts.append(f"first {setting.limit} samples per task")
    if setting.shuffled:
        parts.append("every question shown another sample's image")
    return "; ".join(parts)


def configuration_label(layers: Sequence[int] | None) -> str:
    """A configuration as the paper writes it: [1, 4]; no layer at all: [ ]."""
    return "" if layers is None else "[" + (", ".join(map(str, layers)) or " ") + "]"
