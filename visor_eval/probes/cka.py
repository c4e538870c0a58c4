"""`visor-eval cka`: how alike the vision features of all layers are, sample by sample, recorded and resumable."""

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from visor_eval.core.cka import cka
from visor_eval.errors import SetupError
from visor_eval.harness.collecting import collect
from visor_eval.harness.generation import GenerationError, batches
from visor_eval.harness.lmms_tasks import load_tasks
from visor_eval.harness.progress import Progress
from visor_eval.harness.registry import load_engine
from visor_eval.harness.resume import find_unfinished, request_identity
from visor_eval.harness.runner import Plan, new_record
from visor_eval.harness.samples import Sample, image_hash, read_images, request_hash, to_request
from visor_eval.harness.settings import resolve_device, resolve_dtype
from visor_eval.models.files import checkpoint_folder, weights_hash
from visor_eval.probes.trajectories import Trajectory, WatchedDecoder
from visor_eval.records import JournalError, JournalKey, RunRecord, RunStatus, StoreError, sample_key, utc_now
from visor_eval.records.cka import CkaFolder, CkaRun, CkaSample

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask
    from visor_eval.models.engine import Engine

logger = logging.getLogger(__name__)

SAMPLES_AT_ONCE = 8  # their states are all held: 25 x 8 x 1,485 tokens x 896 in float32 are 1.1 GB
LEAST_TOKENS = {"biased": 2, "unbiased": 4}  # by estimator
SAVE_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class FinishedCka:
    """A CKA run and the folder that holds it."""

    folder: Path
    run: CkaRun


def run_cka(planned: Plan, *, unbiased: bool = False) -> list[FinishedCka]:
    """Compare the vision features of all layers, for every model; unfinished runs are continued.

    Args:
        planned: from ``harness.runner.plan``, with ``harness.hub.prepare`` called before this module was imported.
        unbiased: HSIC_1 in place of the biased inner products.

    Raises:
        SetupError: something the user can fix.
        GenerationError: a model failed; finished samples are kept.
    """
    try:
        return [_run_model(planned, model, "unbiased" if unbiased else "biased") for model in planned.request.models]
    except (JournalError, StoreError) as error:
        raise SetupError(str(error)) from error


def _run_model(planned: Plan, model: str, estimator: str) -> FinishedCka:
    started, request = time.monotonic(), planned.request
    logger.info("%s: loading model and tasks", model)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    source = planned.checkpoints[model].source
    with tempfile.TemporaryDirectory(prefix="visor-eval-") as scratch:
        tasks = load_tasks(planned.tasks, planned.suite, Path(scratch), limit=request.limit, data=request.data)
        engine = load_engine(
            model, pretrained=source, device=device, dtype=dtype, config=request.config, **request.model_args
        )
        probe = _Probe.of(engine, model, estimator)
        weights = weights_hash(checkpoint_folder(source))
        settings = {"estimator": estimator}
        wanted = new_record(planned, model, tasks, weights, device, dtype, kind="cka", settings=settings)
        record = find_unfinished(request.output_path, wanted, lambda path: CkaFolder(path).read_run()) or wanted
        if record is not wanted:
            logger.info("%s: continuing %s", model, record.run_id)
        folder = CkaFolder(request.output_path / record.run_id)
        folder.write_run(record)
        _measure(probe, folder, record, tasks, request.batch_size, started)
    done = replace(record, status=RunStatus.FINISHED, finished_utc=utc_now(), duration_s=_spent(record, started))
    folder.write_run(done)
    return FinishedCka(folder=folder.path, run=folder.load())


def _spent(record: RunRecord, started: float) -> float:
    """Seconds of all sessions, this one included."""
    return (record.duration_s or 0.0) + time.monotonic() - started


@dataclass(frozen=True)
class _Probe:
    """A model whose vision states are watched."""

    engine: "Engine"
    decoder: WatchedDecoder
    estimator: str

    @classmethod
    def of(cls, engine: "Engine", model: str, estimator: str) -> "_Probe":
        try:
            return cls(engine, WatchedDecoder(engine.decoder), estimator)
        except ValueError as error:
            raise SetupError(f"{model}: {error}; use dense, visor or a reducer (visor-eval list methods)") from error

    @torch.inference_mode()
    def trajectories(self, samples: Sequence[Sample], images: Sequence[tuple[Any, ...]]) -> list[Trajectory]:
        requests = [to_request(sample, shown) for sample, shown in zip(samples, images, strict=True)]
        prompts, _ = self.engine.read(requests)
        return self.decoder.watch(prompts, self.engine.chooser)

    def compare(self, trajectory: Trajectory) -> tuple[float | None, ...]:
        """CKA of all pairs of distinct states: the upper triangle, row by row."""
        similarity = cka(trajectory.distinct, unbiased=self.estimator == "unbiased")
        rows, columns = torch.triu_indices(*similarity.shape)
        return tuple(None if value != value else value for value in similarity[rows, columns].tolist())  # NaN: None


def _measure(
    probe: _Probe,
    folder: CkaFolder,
    record: RunRecord,
    tasks: Sequence["LoadedTask"],
    batch_size: int | None,
    started: float,
) -> None:
    """Append every sample that the journal lacks."""
    datasets = {task.name: task.task.dataset for task in tasks}
    by_name = {task.name: task for task in tasks}
    samples = [sample for task in tasks for sample in collect(task)]
    progress, identity, saved = Progress(record.model, len(samples)), request_identity(record), time.monotonic()
    with folder.open_journal() as journal:
        recorded = {(key.task, key.doc_id) for key in journal}
        waiting = []
        for sample in samples:
            if (sample.task, str(by_name[sample.task].rows[sample.doc_id])) in recorded:
                task = by_name[sample.task]
                if _key(task, sample, _hashes(sample, datasets), identity) in journal:
                    continue
            waiting.append(sample)
        if len(waiting) < len(samples):
            progress.update(len(samples) - len(waiting), known=True)
        imageless = 0
        for batch in _small_batches(waiting, batch_size):
            done = _compare(probe, record, batch, by_name, datasets, identity)
            journal.append_all([(sample_key(sample), sample.to_dict()) for sample in done])
            imageless += len(batch) - len(done)
            progress.update(len(batch))
            if time.monotonic() - saved > SAVE_EVERY_S:  # a killed session's time counts too
                saved = time.monotonic()
                folder.write_run(replace(record, duration_s=_spent(record, started)))
        progress.close()
        if imageless:
            logger.info("%s: %d samples without an image have no vision features; left out", record.model, imageless)
        if not len(journal):
            raise SetupError("none of these samples shows an image: CKA compares vision features")


def _compare(
    probe: _Probe,
    record: RunRecord,
    batch: Sequence[Sample],
    tasks: Mapping[str, "LoadedTask"],
    datasets: Mapping[str, Any],
    identity: str,
) -> list[CkaSample]:
    """One batch; samples with too few vision tokens are left out."""
    images = [read_images(sample, datasets[sample.task]) for sample in batch]
    try:
        trajectories = probe.trajectories(batch, images)
    except SetupError:
        raise
    except Exception as error:
        named = ", ".join(f"{sample.task} {sample.doc_id}" for sample in batch)
        raise GenerationError(f"the model failed on {named} ({type(error).__name__}: {error})") from error
    done = []
    for sample, shown, trajectory in zip(batch, images, trajectories, strict=True):
        tokens = len(trajectory.distinct[0])
        if tokens < LEAST_TOKENS[probe.estimator]:
            continue
        task, hashes = tasks[sample.task], [image_hash(image) for image in shown]
        key = _key(task, sample, hashes, identity)
        done.append(
            CkaSample(
                run_id=record.run_id,
                task=sample.task,
                group=task.spec.group,
                doc_id=key.doc_id,
                unit=hashlib.sha256("".join(hashes).encode()).hexdigest()[:16],
                request_hash=key.request_hash,
                configuration=None if probe.engine.dense else trajectory.configuration,
                vision_tokens=tokens,
                states=tuple(trajectory.states),
                similarity=probe.compare(trajectory),
            )
        )
    return done


def _small_batches(samples: Sequence[Sample], batch_size: int | None) -> Iterator[list[Sample]]:
    """As in a run, but few enough that all their states fit."""
    size = batch_size or SAMPLES_AT_ONCE
    for batch in batches(samples, batch_size):
        for start in range(0, len(batch), size):
            yield batch[start : start + size]


def _hashes(sample: Sample, datasets: Mapping[str, Any]) -> list[str]:
    return [image_hash(image) for image in read_images(sample, datasets[sample.task])]


def _key(task: "LoadedTask", sample: Sample, hashes: Sequence[str], identity: str) -> JournalKey:
    return JournalKey(sample.task, str(task.rows[sample.doc_id]), request_hash(identity, sample, hashes))
