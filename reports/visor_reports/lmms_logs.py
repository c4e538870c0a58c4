"""Plain lmms-eval logs (``*_samples_<task>.jsonl``) as runs, so that other people's models can stand in the tables.

lmms-eval writes one file per task below ``<output_path>/<model>/``, by time of the evaluation. Their cost is unknown,
unless the model logged it (ours does, under ``token_counts``). lmms-eval's ``doc_hash`` is the same for all documents,
so that a log is placed beside our own runs only if its references agree with theirs, document by document.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visor_eval.analysis.scores import sample_score
from visor_eval.records import CostRecord, Provenance, Run, RunRecord, RunStatus, SampleRecord, SchemaError
from visor_tasks.suites import group_of

OWN_KEYS = frozenset(  # of a logged sample; the others are metrics
    ("doc_id", "doc", "doc_hash", "target", "target_hash", "arguments", "input", "input_media", "prompt_hash", "resps")
).union(("filtered_resps", "filter", "token_counts"))
OTHER_GROUP = "other"  # of tasks outside the paper's twelve

_NAME = re.compile(r"(?P<date>.*?)_?samples_(?P<task>.+)\.jsonl$")
_PLACEHOLDER = re.compile(r"<image(?:_?\d*)>\s*", re.IGNORECASE)


class LogError(ValueError):
    """A log that cannot stand in a table; the message says why."""


@dataclass(frozen=True, kw_only=True)
class LogGroup:
    """The files of one evaluation: one model, one time.

    Attributes:
        name: how it is called in lists: the model's folder and the time.
        model: the folder that lmms-eval made for the model.
        date: the files' common beginning, lmms-eval's time stamp; may be empty.
        files: task -> file.
    """

    name: str
    model: str
    date: str
    files: Mapping[str, Path]


def find_logs(places: Iterable[Path]) -> list[LogGroup]:
    """Evaluations among files and, at any depth, in folders; each file once.

    Raises:
        FileNotFoundError: a place does not exist.
    """
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist")
        for path in sorted(place.rglob("*samples_*.jsonl")) if place.is_dir() else [place]:
            found = _NAME.match(path.name)
            if found is None:
                raise LogError(f"{path.name} is no lmms-eval log: expected <time>_samples_<task>.jsonl")
            groups.setdefault((path.resolve().parent, found["date"]), {})[found["task"]] = path
    return [
        LogGroup(name=f"{folder.name}/{date or 'samples'}", model=folder.name, date=date, files=files)
        for (folder, date), files in sorted(groups.items())
    ]


def read_logs(group: LogGroup, native: Sequence[Run]) -> Run:
    """One evaluation as a run; ``config["imported"]`` is true.

    Args:
        group: its files.
        native: our own runs; the log joins the data (suite hash, limit) of the one whose documents it shares.

    Raises:
        LogError: a line that is no logged sample, a document twice, tasks of both suites, or an unknown score.
    """
    run_id = f"{group.model}-{group.date}".strip("-")
    samples = [sample for task, path in group.files.items() for sample in _samples(run_id, task, path)]
    if not samples:
        raise LogError("no samples")
    twins = {task.endswith("_mini") for task in group.files}
    if len(twins) > 1:
        raise LogError("tasks of the mini suite beside others; import them apart")
    suite = "mini" if twins == {True} else "paper"
    tasks = tuple(group.files)
    settings, place = _settings(group), _place(samples, suite, native)
    return Run(
        run=RunRecord(
            run_id=run_id,
            model=settings.get("model", group.model),
            checkpoint=settings.get("checkpoint", group.model),
            weights_hash="unknown",
            suite=suite,
            suite_hash=_described(samples) if place is None else place.suite_hash,
            tasks=tasks,
            groups={},
            config={"imported": True, "limit": None if place is None else place.config.get("limit")},
            seeds={},
            provenance=_provenance(settings, group.date),
            status=RunStatus.FINISHED,
            started_utc=_time(group.date),
            data_hashes={} if place is None else {t: place.data_hashes[t] for t in tasks if t in place.data_hashes},
        ),
        samples=tuple(samples),
    )


def _samples(run_id: str, task: str, path: Path) -> list[SampleRecord]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise LogError(f"{path.name}: {error}") from error
    if lines[-1]:
        raise LogError(f"{path.name}: the last line is cut off")
    found: dict[str, SampleRecord] = {}
    for number, line in enumerate(lines[:-1], 1):
        try:
            sample = _sample(run_id, task, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"{path.name}, line {number}: {error}") from error
        if sample.doc_id in found:
            raise LogError(
                f"{path.name}, line {number}: document {sample.doc_id} a second time; lmms-eval appends, so this file "
                "holds several evaluations: keep one"
            )
        found[sample.doc_id] = sample
    return sorted(found.values(), key=lambda sample: int(sample.doc_id) if sample.doc_id.isdigit() else -1)


def _sample(run_id: str, task: str, logged: object) -> SampleRecord:
    if not isinstance(logged, dict) or "doc_id" not in logged:
        raise LogError("no logged sample (no doc_id)")
    doc_id = str(logged["doc_id"])
    metrics = {key: value for key, value in logged.items() if key not in OWN_KEYS}
    part = sample_score(task, metrics, doc_id)
    return SampleRecord(
        run_id=run_id,
        task=task,
        group=group_of(task) or OTHER_GROUP,
        doc_id=doc_id,
        unit=part.unit,
        stratum=part.stratum,
        score=part.score,
        metrics=metrics,
        prompt=_writable(_PLACEHOLDER.sub("", str(logged.get("input", ""))).strip()),
        answer=_writable(_answer(logged)),
        references=tuple(map(_writable, _references(logged.get("target", "")))),
        template=None,
        image_hashes=(),
        request_hash="",
        cost=_cost(logged.get("token_counts")),
    )


def _writable(text: str) -> str:
    """Without half characters (a JSON escape may spell them, no file can hold them)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _answer(logged: Mapping[str, object]) -> str:
    """What the model said: unfiltered where both are logged."""
    said = logged.get("resps", logged.get("filtered_resps", ""))
    while isinstance(said, list) and said:
        said = said[0]
    return said if isinstance(said, str) else json.dumps(said)


def _references(target: object) -> tuple[str, ...]:
    """lmms-eval logs ``str(target)``: a list of answers arrives as its Python spelling."""
    if isinstance(target, str) and target.startswith("["):
        try:
            target = ast.literal_eval(target)
        except (ValueError, SyntaxError):
            return (target,)
    return tuple(map(str, target)) if isinstance(target, list) else (str(target),)


def _cost(token_counts: object) -> CostRecord | None:
    """The cost that our own models log; None for everyone else's."""
    first = token_counts[0] if isinstance(token_counts, list) and token_counts else None
    cost = first.get("cost") if isinstance(first, dict) else None
    if not isinstance(cost, dict):
        return None
    try:
        return CostRecord.from_dict(cost)
    except SchemaError as error:
        raise LogError(f"its cost is not readable: {error}") from error


def _place(samples: Sequence[SampleRecord], suite: str, native: Sequence[Run]) -> RunRecord | None:
    """The run of ours whose documents these are.

    Every logged document must be one of the run's, with the same references, and every document of the tasks in common
    must be logged.
    """
    wanted: dict[str, dict[str, SampleRecord]] = {}
    for sample in samples:
        wanted.setdefault(sample.task, {})[sample.doc_id] = sample
    for run in native:
        if run.run.suite != suite or run.run.config.get("shuffle_images"):
            continue
        theirs: dict[str, dict[str, SampleRecord]] = {}
        for sample in run.samples:
            theirs.setdefault(sample.task, {})[sample.doc_id] = sample
        if all(task in theirs and _same_documents(mine, theirs[task]) for task, mine in wanted.items()):
            return run.run
    return None


def _described(samples: Sequence[SampleRecord]) -> str:
    """A hash of their own for documents that no run of ours has."""
    described = sorted((sample.task, sample.doc_id, *sample.references) for sample in samples)
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _same_documents(mine: Mapping[str, SampleRecord], theirs: Mapping[str, SampleRecord]) -> bool:
    return mine.keys() == theirs.keys() and all(set(mine[doc].references) & set(theirs[doc].references) for doc in mine)


def _settings(group: LogGroup) -> dict[str, str]:
    """Model, checkpoint and time from lmms-eval's ``<time>_results.json``, where it lies beside the samples."""
    path = next(iter(group.files.values())).parent / f"{group.date}_results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    found: dict[str, str] = {}
    config = content.get("config")
    arguments = config.get("model_args") if isinstance(config, dict) else None
    named = re.search(r"(?:^|,)pretrained=([^,]+)", arguments) if isinstance(arguments, str) else None
    model = content.get("model_source") or (config.get("model") if isinstance(config, dict) else None)
    if model:
        found["model"] = found["checkpoint"] = str(model)
    if named:
        found["checkpoint"] = named[1].rstrip("/").rsplit("/", 1)[-1] if named[1].startswith("/") else named[1]
    if content.get("lmms_eval_version"):
        found["version"] = str(content["lmms_eval_version"])
    return found


def _time(date: str) -> str:
    """lmms-eval's time stamp (its clock's zone is not logged) in ISO 8601; as it is where it has another form."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)", date)
    return f"{found[1]}-{found[2]}-{found[3]}T{found[4]}:{found[5]}:{found[6]}" if found else date


def _provenance(settings: Mapping[str, str], date: str) -> Provenance:
    """What is known about where the log comes from, which is little."""
    return Provenance(
        commit=None,
        dirty=None,
        packages={"lmms-eval": settings["version"]} if "version" in settings else {},
        python="unknown",
        platform="unknown",
        cpu_count=None,
        device="unknown",
        command=("imported from plain lmms-eval logs",),
        utc=_time(date) or "unknown",
    )
