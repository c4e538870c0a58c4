"""Questions asked of records: scores, intervals, savings. numpy, no torch."""

from visor_eval.analysis.intervals import Interval, group_interval, score_interval
from visor_eval.analysis.savings import all_units, mean_saving_interval, saving_interval
from visor_eval.analysis.scores import (
    SampleScore,
    benchmark,
    group_score,
    mme_cognition,
    sample_score,
    task_score,
    task_units,
)
from visor_eval.analysis.summary import RunSummary, Summary, summarise

__all__ = [
    "Interval",
    "RunSummary",
    "SampleScore",
    "Summary",
    "all_units",
    "benchmark",
    "group_interval",
    "group_score",
    "mean_saving_interval",
    "mme_cognition",
    "sample_score",
    "saving_interval",
    "score_interval",
    "summarise",
    "task_score",
    "task_units",
]
