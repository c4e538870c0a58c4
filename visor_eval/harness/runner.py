"""Run models over tasks: resolve, resume, answer, score, record."""

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import Checkpoint, find_checkpoint, parse_pretrained
from visor_eval.harness.hub import prepare
from visor_eval.harness.opening import STOCK, Opened, opened
from visor_eval.harness.progress import Progress
from visor_eval.harness.registry import default_checkpoint, parse_model
from visor_eval.harness.resume import request_identity
from visor_eval.harness.session import Session
from visor_eval.records import (
    JournalError,
    Run,
    RunFolder,
    SampleRecord,
    StoreError,
)
from visor_tasks.suites import GROUPS, Suite, TaskSpec, resolve

logger = logging.getLogger(__name__)

LMMS_RESULTS = "lmms_results.json"  # lmms-eval's own metrics, beside the records


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
    kernels: str = STOCK  # what the decoder's layers run on: `models/kernels.py`


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
    """Look up models, checkpoints and tasks. No model or hub library is imported, so mistakes are answered at once.

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
        model: find_checkpoint(source, default=source or default_checkpoint(model)) for model, source in sources.items()
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
    from visor_eval.harness.settings import method_settings

    with opened(planned, model) as at_hand:
        settings = method_settings(at_hand.engine)
        session = at_hand.begin(RunFolder, settings=settings, chance=at_hand.chance_levels())
        samples, results = _answer_and_score(session, at_hand)
    session.folder.write_samples(samples)
    _write_lmms_results(session.folder.path / LMMS_RESULTS, results)
    return FinishedRun(folder=session.folder.path, run=Run(run=session.finish(), samples=tuple(samples)))


def _answer_and_score(session: Session[RunFolder], at_hand: Opened) -> tuple[list[SampleRecord], Mapping[str, Any]]:
    from visor_eval.harness.evaluation import evaluate
    from visor_eval.harness.generation import Generator
    from visor_eval.harness.lmms_models import ChatModel
    from visor_eval.harness.lmms_tasks import shuffled_sources
    from visor_eval.harness.recording import sample_records

    request, tasks = at_hand.planned.request, at_hand.tasks
    sources = {task.name: shuffled_sources(task, request.seed) for task in tasks} if request.shuffle_images else {}
    progress = Progress(at_hand.model, sum(len(task.rows) for task in tasks))

    def step(count: int, known: bool) -> None:
        progress.update(count, known)
        session.keep_time()

    with session.folder.open_journal() as journal:
        generator = Generator(
            engine=at_hand.engine,
            identity=request_identity(session.record),
            journal=journal,
            batch_size=request.batch_size,
            image_sources=sources,
            original_ids={task.name: task.rows for task in tasks},
            progress=step,
        )
        model = ChatModel(generator, device=at_hand.device)
        try:
            results = evaluate(model, tasks, scratch=at_hand.scratch, seed=request.seed)
        finally:
            progress.close()
    run_id, scored = session.record.run_id, results["samples"]
    samples = [
        sample
        for task in tasks
        for sample in sample_records(run_id, task, scored[task.name], model.finished, model.prompts)
    ]
    return samples, results


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
