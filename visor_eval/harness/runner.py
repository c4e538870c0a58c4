"""Run models over tasks: resolve, resume, answer, score, record."""

import importlib.metadata
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import Checkpoint, find_checkpoint, parse_pretrained
from visor_eval.harness.hub import prepare
from visor_eval.harness.manifest import read_manifest
from visor_eval.harness.progress import Progress
from visor_eval.harness.registry import default_checkpoint, load_engine, parse_model, takes_config
from visor_eval.harness.resume import digest, file_hashes, find_unfinished, new_run_id, request_identity
from visor_eval.records import (
    JournalError,
    Run,
    RunFolder,
    RunRecord,
    RunStatus,
    SampleRecord,
    StoreError,
    collect_provenance,
    utc_now,
)
from visor_tasks.lmms_yaml import MINI_DATA, data_file, lmms_tasks_folder
from visor_tasks.suites import GROUPS, Suite, TaskSpec, resolve

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask
    from visor_eval.models.engine import Engine

logger = logging.getLogger(__name__)

LMMS_RESULTS = "lmms_results.json"  # lmms-eval's own metrics, beside the records
SAVE_EVERY_S = 5.0  # how often the time spent so far is written down


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the user asked for, before anything is looked up."""

    models: tuple[str, ...]
    tasks: tuple[str, ...] = GROUPS
    suite: Suite | None = None  # None: mini for embedded checkpoints, else paper
    pretrained: str | None = None  # one value, or one per model: "dense=A,visor=B"
    config: str | None = None  # VISOR configuration
    model_args: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None  # documents per task
    batch_size: int | None = None  # None: automatic
    device: str | None = None
    dtype: str = "auto"
    output_path: Path = Path("results")
    seed: int = 1234
    shuffle_images: bool = False
    data: Path | None = None  # folder of parquet files in the real schemas, instead of the suite's own data


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will run."""

    request: RunRequest
    suite: Suite
    tasks: tuple[TaskSpec, ...]
    checkpoints: Mapping[str, Checkpoint]  # by model

    @property
    def offline(self) -> bool:
        """Whether everything that will be read lies on this machine."""
        on_disk = self.suite is Suite.MINI or self.request.data is not None
        return on_disk and all(checkpoint.local for checkpoint in self.checkpoints.values())


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run and the folder that holds it."""

    folder: Path
    run: Run


def plan(request: RunRequest) -> Plan:
    """Look up models, checkpoints and tasks. Fast: nothing heavy is imported, so mistakes are answered at once.

    Raises:
        SetupError: unknown method or task, no such checkpoint, unusable output folder.
    """
    if len(set(request.models)) < len(request.models) or not request.models:
        raise SetupError(f"--model {','.join(request.models)}: name each model once")
    for model in request.models:
        parse_model(model)
    if request.limit is not None and request.limit < 1:
        raise SetupError(f"--limit {request.limit}: give at least 1")
    if request.batch_size is not None and request.batch_size < 1:
        raise SetupError(f"--batch_size {request.batch_size}: give at least 1, or auto")
    sources = parse_pretrained(request.pretrained, request.models)
    checkpoints = {
        model: find_checkpoint(source, default=default_checkpoint(model)) for model, source in sources.items()
    }
    suite = request.suite or _suite_of(checkpoints)
    try:
        tasks = resolve(request.tasks, suite)
    except LookupError as error:
        raise SetupError(str(error.args[0])) from error
    _check_writable(request.output_path)
    return Plan(request=request, suite=suite, tasks=tasks, checkpoints=checkpoints)


def run(request: RunRequest) -> list[FinishedRun]:
    """Run every model over the tasks and record it; an unfinished run with the same settings is continued.

    Raises:
        SetupError: something the user can fix.
        GenerationError: a model failed; finished samples are kept.
        ScoringError: lmms-eval did not score what was asked.
    """
    planned = plan(request)
    prepare(offline=planned.offline)
    try:
        return [_run_model(planned, model) for model in request.models]
    except (JournalError, StoreError) as error:
        raise SetupError(str(error)) from error


def _run_model(planned: Plan, model: str) -> FinishedRun:
    started = time.monotonic()
    request = planned.request
    logger.info("%s: loading model and tasks", model)
    from visor_eval.harness.lmms_tasks import load_tasks, shuffled_sources
    from visor_eval.harness.settings import method_settings, resolve_device, resolve_dtype
    from visor_eval.models.files import checkpoint_folder, weights_hash

    config = _config_of(model, request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    checkpoint = planned.checkpoints[model]
    with tempfile.TemporaryDirectory(prefix="visor-eval-") as scratch:
        tasks = load_tasks(planned.tasks, planned.suite, Path(scratch), limit=request.limit, data=request.data)
        engine = load_engine(
            model,
            pretrained=checkpoint.source,
            device=device,
            dtype=dtype,
            config=config,
            **request.model_args,
        )
        weights = weights_hash(checkpoint_folder(checkpoint.source))
        settings = {"configuration": config, **method_settings(engine)}
        wanted = new_record(planned, model, tasks, weights, device, dtype, settings=settings)
        record = find_unfinished(request.output_path, wanted) or wanted
        if record is not wanted:
            logger.info("%s: continuing %s", model, record.run_id)
        record = replace(record, chance=chance_levels(planned, model, tasks))
        folder = RunFolder(request.output_path / record.run_id)
        folder.write_run(record)
        sources = {task.name: shuffled_sources(task, request.seed) for task in tasks} if request.shuffle_images else {}
        samples, results = _answer_and_score(folder, record, engine, tasks, sources, request, Path(scratch), started)
    folder.write_samples(samples)
    _write_lmms_results(folder.path / LMMS_RESULTS, results)
    done = replace(
        record,
        status=RunStatus.FINISHED,
        finished_utc=utc_now(),
        duration_s=(record.duration_s or 0.0) + time.monotonic() - started,
    )
    folder.write_run(done)
    return FinishedRun(folder=folder.path, run=Run(run=done, samples=tuple(samples)))


def _answer_and_score(
    folder: RunFolder,
    record: RunRecord,
    engine: "Engine",
    tasks: Sequence["LoadedTask"],
    sources: Mapping[str, Sequence[int]],
    request: RunRequest,
    scratch: Path,
    started: float,
) -> tuple[list[SampleRecord], Mapping[str, Any]]:
    from visor_eval.harness.evaluation import evaluate
    from visor_eval.harness.generation import Generator
    from visor_eval.harness.lmms_models import ChatModel
    from visor_eval.harness.recording import sample_records

    progress = Progress(record.model, sum(len(task.rows) for task in tasks))
    saved = time.monotonic()

    def step(count: int, known: bool) -> None:
        nonlocal saved
        progress.update(count, known)
        if time.monotonic() - saved > SAVE_EVERY_S:  # a killed session's time counts too
            saved = time.monotonic()
            folder.write_run(replace(record, duration_s=(record.duration_s or 0.0) + saved - started))

    with folder.open_journal() as journal:
        generator = Generator(
            engine=engine,
            identity=request_identity(record),
            journal=journal,
            batch_size=request.batch_size,
            image_sources=sources,
            original_ids={task.name: task.rows for task in tasks},
            progress=step,
        )
        model = ChatModel(generator, device=str(record.config["device"]))
        try:
            results = evaluate(model, tasks, scratch=scratch, seed=request.seed)
        finally:
            progress.close()
    samples = [
        sample
        for task in tasks
        for sample in sample_records(record.run_id, task, results["samples"][task.name], model.finished, model.prompts)
    ]
    return samples, results


def chance_levels(planned: Plan, model: str, tasks: Sequence["LoadedTask"]) -> dict[str, float]:
    """Task -> score of the best image-blind answerer known, for the tasks where one is."""
    from visor_eval.harness.chance import chance_level

    mini = planned.suite is Suite.MINI
    blind = read_manifest(planned.request.data or MINI_DATA).get("blind_answers", {}) if mini else {}
    checkpoint = planned.checkpoints[model]
    levels = {task.name: chance_level(task, blind.get(task.spec.name, {}), checkpoint) for task in tasks}
    return {name: level for name, level in levels.items() if level is not None}


def new_record(
    planned: Plan,
    model: str,
    tasks: Sequence["LoadedTask"],
    weights: str,
    device: str,
    dtype: str,
    *,
    kind: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunRecord:
    """The record of a run that starts now.

    Args:
        planned: what was asked for.
        model: one of its models.
        tasks: as loaded.
        weights: SHA-256 over the checkpoint.
        device: resolved.
        dtype: resolved.
        kind: what probes add to the folder's name: sweep, cka.
        settings: further entries of ``config``.
    """
    request = planned.request
    names = {task.name for task in tasks}
    return RunRecord(
        run_id=new_run_id(request.output_path, f"{kind}-{model}" if kind else model, planned.suite),
        model=model,
        checkpoint=planned.checkpoints[model].label,
        weights_hash=weights,
        suite=str(planned.suite),
        suite_hash=_suite_hash(planned, tasks),
        tasks=tuple(task.name for task in tasks),
        groups={
            group: chosen
            for group in GROUPS
            if (chosen := tuple(t.name_in(planned.suite) for t in planned.tasks if t.group == group)) and names
        },
        config={
            "configuration": request.config,
            "model_args": dict(request.model_args),
            "device": device,
            "dtype": dtype,
            "batch_size": request.batch_size or "auto",
            "limit": request.limit,
            "shuffle_images": request.shuffle_images,
            **(settings or {}),
        },
        seeds=dict.fromkeys(("python", "numpy", "torch", "fewshot", "shuffle"), request.seed),
        provenance=collect_provenance(device=device),
        started_utc=utc_now(),
    )


def _config_of(model: str, request: RunRequest) -> str | None:
    """``--config`` for ``model``: left out where another of the models is meant (where none is, ``model`` refuses)."""
    if request.config is None or takes_config(model) or not any(takes_config(other) for other in request.models):
        return request.config
    logger.info("%s: has no configurations, --config %s does not apply", model, request.config)
    return None


def _suite_hash(planned: Plan, tasks: Sequence["LoadedTask"]) -> str:
    """The frozen suite's own, or over local data files, or over lmms-eval's definitions, version and row counts."""
    if planned.suite is Suite.MINI or planned.request.data is not None:
        folder = planned.request.data or MINI_DATA
        frozen = read_manifest(folder).get("suite_sha256")
        return str(frozen or file_hashes({task.name: data_file(task, folder) for task in planned.tasks}))
    definitions = file_hashes({task.name: lmms_tasks_folder() / task.source for task in planned.tasks})
    counts = {task.name: len(task.documents) for task in tasks}
    return digest([definitions, importlib.metadata.version("lmms-eval"), counts])


def _suite_of(checkpoints: Mapping[str, Checkpoint]) -> Suite:
    suites = {Suite.MINI if checkpoint.embedded else Suite.PAPER for checkpoint in checkpoints.values()}
    if len(suites) > 1:
        raise SetupError("embedded and other checkpoints in one command: say --suite mini or --suite paper")
    return suites.pop()


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SetupError(
            f"cannot write to the output folder {folder} ({error.strerror or error}): choose another --output_path"
        ) from error


def _write_lmms_results(path: Path, results: Mapping[str, Any]) -> None:
    """Keep lmms-eval's own metrics, as it computed them."""
    kept = {key: results[key] for key in ("results", "n-samples", "versions", "higher_is_better") if key in results}
    try:
        path.write_text(json.dumps(kept, indent=2, default=str) + "\n")
    except OSError as error:
        raise StoreError(f"could not write {path}: {error.strerror or error}") from error
