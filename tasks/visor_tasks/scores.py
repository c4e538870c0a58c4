"""One comparable 0-100 score per task, beside lmms-eval's own metrics.

lmms-eval averages a group over identical metric names only, and the twelve benchmarks share none. So each task gets
one more metric, ``visor_score``: what lmms-eval's own scoring code returned, on one scale (docs/harness.md). The
generated YAML names these functions (`process_results: !function visor_tasks.scores.<task>`).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from statistics import fmean

METRIC = "visor_score"
Doc = Mapping[str, object]
Results = dict[str, object]
ProcessResults = Callable[[Doc, list[str]], Results]

MME_PERFECT_CATEGORY = 200.0  # 100 for accuracy, 100 for both questions of a pair being right


def _task_function(module: str, name: str) -> Callable[..., object]:
    """A function of an lmms-eval task; imported when the first sample is scored, since that import is slow."""
    return getattr(import_module(f"lmms_eval.tasks.{module}.utils"), name)


def _per_sample(module: str, function: str, metric: str) -> ProcessResults:
    """Wrap a task's own process_results: the metric, a number or a dict with "score", is a mean of samples."""

    def process(doc: Doc, results: list[str]) -> Results:
        scored: Results = _task_function(module, function)(doc, results)  # type: ignore[assignment]
        value = scored[metric]
        return {**scored, METRIC: 100.0 * float(value["score"] if isinstance(value, dict) else value)}  # type: ignore[arg-type]

    return process


def _registered(metric: str, targets: Callable[[Doc], Sequence[str]], **options: bool) -> ProcessResults:
    """Score as lmms-eval does a task without process_results: with the metric registered under that name."""

    def process(doc: Doc, results: list[str]) -> Results:
        function = import_module("lmms_eval.api.registry").METRIC_REGISTRY[metric]
        value = float(function(references=list(targets(doc)), predictions=results, **options)[metric])
        return {metric: value, METRIC: 100.0 * value}

    return process


def _answers(doc: Doc) -> Sequence[str]:
    answers = doc["answers"]
    return [answers] if isinstance(answers, str) else answers  # type: ignore[return-value]


def _letter(doc: Doc) -> Sequence[str]:
    return [str(_task_function("ai2d", "ai2d_doc_to_target")(doc, "mcq"))]


realworldqa = _per_sample("realworldqa", "realworldqa_process_results", "exact_match")
scienceqa_img = _per_sample("scienceqa", "sqa_process_results", "exact_match")
pope = _per_sample("pope", "pope_process_results", "pope_accuracy")
textvqa_val = _per_sample("textvqa", "textvqa_process_results", "exact_match")
chartqa = _per_sample("chartqa", "chartqa_process_results", "relaxed_overall")
ocrbench = _per_sample("ocrbench", "ocrbench_process_results", "ocrbench_accuracy")
gqa = _registered("exact_match", lambda doc: [str(doc["answer"])], ignore_case=True, ignore_punctuation=True)
ai2d = _registered("exact_match", _letter, ignore_case=True, ignore_punctuation=True)
docvqa_val = _registered("anls", _answers)
infovqa_val = _registered("anls", _answers)


def mmstar(doc: Doc, results: list[str]) -> Results:
    """MMStar's own results; the score is its ``average``, a mean over second-level categories."""
    scored: Results = _task_function("mmstar", "mmstar_process_results")(doc, results)  # type: ignore[assignment]
    return {**scored, METRIC: scored["average"]}


def mme(doc: Doc, results: list[str]) -> Results:
    """MME's own results; the score is its perception part, so cognition samples carry none."""
    scored: Results = _task_function("mme", "mme_process_results")(doc, results)  # type: ignore[assignment]
    perception = scored.get("mme_perception_score")
    return scored if perception is None else {**scored, METRIC: perception}


def mean(scores: list[float]) -> float:
    """Plain mean of per-sample scores, 0-100."""
    return fmean(scores)


def mmstar_mean(scores: list[dict[str, object]]) -> float:
    """MMStar's own average, 0-100."""
    return 100.0 * float(_task_function("mmstar", "mmstar_aggregate_results")(scores))  # type: ignore[arg-type]


def mme_mean(scores: list[dict[str, object]]) -> float:
    """MME's own perception score over what the categories present can reach, 0-100 (all ten: score / 20)."""
    total = float(_task_function("mme", "mme_aggregate_results")(scores))  # type: ignore[arg-type]
    return 100.0 * total / (MME_PERFECT_CATEGORY * len({score["category"] for score in scores}))


AGGREGATIONS = {"mmstar": mmstar_mean, "mme": mme_mean}  # every other task: mean
