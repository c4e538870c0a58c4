"""`visor-eval cka`: how alike the vision features of all layers are, sample by sample, recorded and resumable."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from visor_eval.core.cka import cka
from visor_eval.errors import SetupError
from visor_eval.harness.collecting import collect
from visor_eval.harness.generation import batches, in_memory
from visor_eval.harness.opening import opened
from visor_eval.harness.progress import Progress
from visor_eval.harness.resume import request_identity
from visor_eval.harness.runner import Plan
from visor_eval.harness.samples import Sample, image_hash, read_images, request_hash, to_request
from visor_eval.harness.session import Session
from visor_eval.probes.trajectories import Trajectory, WatchedDecoder
from visor_eval.records import JournalError, JournalKey, RunRecord, StoreError, sample_key
from visor_eval.records.cka import CkaFolder, CkaRun, CkaSample

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask
    from visor_eval.models.engine import Engine

logger = logging.getLogger(__name__)

SAMPLES_AT_ONCE = 8  # their states are all held: 25 x 8 x 1,485 tokens x 896 in float32 are 1.1 GB
LEAST_TOKENS = {"biased": 2, "unbiased": 4}  # by estimator


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
    with opened(planned, model) as at_hand:
        probe = _Probe.of(at_hand.engine, model, estimator)
        session = at_hand.begin(CkaFolder, kind="cka", settings={"estimator": estimator})
        _measure(probe, session, at_hand.tasks, planned.request.batch_size)
    session.finish()
    return FinishedCka(folder=session.folder.path, run=session.folder.load())


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


def _measure(probe: _Probe, session: Session[CkaFolder], tasks: Sequence["LoadedTask"], batch_size: int | None) -> None:
    """Append every sample that the journal lacks."""
    record = session.record
    datasets = {task.name: task.task.dataset for task in tasks}
    by_name = {task.name: task for task in tasks}
    samples = [sample for task in tasks for sample in collect(task)]
    progress, identity = Progress(record.model, len(samples)), request_identity(record)
    with session.folder.open_journal() as journal:
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
            session.keep_time()
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
    images = {sample.key: read_images(sample, datasets[sample.task]) for sample in batch}
    watched = in_memory(batch, lambda part: probe.trajectories(part, [images[sample.key] for sample in part]))
    done = []
    for sample, trajectory in (pair for part, seen in watched for pair in zip(part, seen, strict=True)):
        tokens = len(trajectory.distinct[0])
        if tokens < LEAST_TOKENS[probe.estimator]:
            continue
        task, hashes = tasks[sample.task], [image_hash(image) for image in images[sample.key]]
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
