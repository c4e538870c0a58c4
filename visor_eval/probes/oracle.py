"""`visor-eval oracle`: every configuration on every sample, recorded and resumable."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visor_eval.analysis.viable import hopeful
from visor_eval.errors import SetupError
from visor_eval.harness.collecting import collect
from visor_eval.harness.generation import batches, in_memory
from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.harness.opening import opened
from visor_eval.harness.progress import Progress
from visor_eval.harness.resume import request_identity
from visor_eval.harness.runner import Plan
from visor_eval.harness.samples import Sample, image_hash, read_images, request_hash, to_request
from visor_eval.harness.scoring import references, score_answers
from visor_eval.harness.session import Session
from visor_eval.harness.settings import method_settings
from visor_eval.models.files import checkpoint_folder
from visor_eval.probes.prefix_tree import Configuration, every_subset
from visor_eval.probes.sweeper import Sweeper, Swept, encode_flops
from visor_eval.records import (
    Accounting,
    Journal,
    JournalError,
    JournalKey,
    RunRecord,
    StoreError,
    Sweep,
    SweepFolder,
    SweepSample,
    journalled,
    sample_key,
)
from visor_eval.visor.checkpoint import read_visor_config
from visor_eval.visor.config import VisorConfig

if TYPE_CHECKING:
    from PIL.Image import Image


logger = logging.getLogger(__name__)

VIABLE, ALL = "viable", "all"
PRUNE_AFTER = 10  # samples per task


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What to sweep.

    Attributes:
        configurations: ``viable`` (the checkpoint's own), ``all`` (every subset of its candidates), or layer lists
            such as ``1,4;1,7``; an empty list is written ``none``.
        answers: generate every configuration's answer and score it by the task's metric.
        prune: after the first `PRUNE_AFTER` samples of each task go on without the configurations that are hopeless.
        settings: what else shapes the sweep (where its data come from), for the record.
    """

    configurations: str = VIABLE
    answers: bool = True
    prune: bool = False
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FinishedSweep:
    """A sweep and the folder that holds it."""

    folder: Path
    sweep: Sweep


def run_sweep(planned: Plan, request: SweepRequest) -> list[FinishedSweep]:
    """Sweep every model over the tasks; unfinished sweeps with the same settings are continued.

    Args:
        planned: from ``harness.runner.plan``, with ``harness.hub.prepare`` called before this module was imported.
        request: what to sweep.

    Raises:
        SetupError: something the user can fix.
        GenerationError: a model failed; finished samples are kept.
        ScoringError: a task cannot be scored.
    """
    try:
        return [_run_model(planned, request, model) for model in planned.request.models]
    except (JournalError, StoreError) as error:
        raise SetupError(str(error)) from error


def parse_configurations(text: str, settings: VisorConfig) -> tuple[Configuration, ...]:
    """Read ``--configs``.

    Raises:
        SetupError: not a list of layers, a layer that is no candidate, or a configuration given twice.
    """
    if text == VIABLE:
        return settings.configurations
    if text == ALL:
        return every_subset(settings.candidates)
    found = []
    for piece in text.replace("],[", ";").strip("[]").split(";"):
        layers = [] if piece.strip() == "none" else piece.split(",")
        try:
            numbers = tuple(int(layer) for layer in layers)
        except ValueError:
            raise SetupError(
                f"--configs {text}: {piece!r} is no list of layers; give {VIABLE}, {ALL}, or lists such as 1,4;1,7"
            ) from None
        found.append(settings.check(numbers))
    if len(set(found)) < len(found):
        raise SetupError(f"--configs {text}: a configuration is given twice")
    return tuple(found)


def _run_model(planned: Plan, request: SweepRequest, model: str) -> FinishedSweep:
    with opened(planned, model) as at_hand:
        engine = at_hand.engine
        if engine.dense:
            raise SetupError(f"{model} has no configurations to sweep: use visor or visor-zero, reducers included")
        own = read_visor_config(checkpoint_folder(planned.checkpoints[model].source))
        configurations = parse_configurations(
            request.configurations, own or VisorConfig.for_layers(engine.shape.decoder.layers)
        )
        settings = {
            **method_settings(engine),
            "configurations": [list(each) for each in configurations],
            "answers": request.answers,
            "prune": request.prune,
            **request.settings,
        }
        session = at_hand.begin(SweepFolder, kind="sweep", settings=settings, chance=at_hand.chance_levels())
        sweeper = Sweeper(engine, configurations, answers=request.answers)
        sweeping = _Sweeping(sweeper, session, {task.name: task for task in at_hand.tasks})
        sweeping.run(planned.request.batch_size, prune=request.prune)
    session.finish()
    return FinishedSweep(folder=session.folder.path, sweep=session.folder.load())


@dataclass
class _Sweeping:
    """One sweep under way."""

    sweeper: Sweeper
    session: Session[SweepFolder]
    tasks: Mapping[str, LoadedTask]

    @property
    def record(self) -> RunRecord:
        """What is being swept."""
        return self.session.record

    def run(self, batch_size: int | None, *, prune: bool) -> None:
        """Append every sample that the journal lacks."""
        samples = [sample for task in self.tasks.values() for sample in collect(task)]
        progress = Progress(f"{self.record.model}, {len(self.sweeper.configurations)} configurations", len(samples))
        first = [sample for sample in samples if prune and sample.doc_id < PRUNE_AFTER]
        rest = [sample for sample in samples if not prune or sample.doc_id >= PRUNE_AFTER]
        try:
            with self.session.folder.open_journal() as journal:
                if prune:
                    self._run(first, journal, progress, batch_size)
                    self._drop_hopeless(journal, {(sample.task, self._doc_id(sample)) for sample in first})
                self._run(rest, journal, progress, batch_size)
        finally:
            progress.close()

    def _run(self, samples: Sequence[Sample], journal: Journal, progress: Progress, batch_size: int | None) -> None:
        waiting = self._waiting(samples, journal)
        if len(waiting) < len(samples):
            progress.update(len(samples) - len(waiting), known=True)
        for batch in batches(waiting, batch_size):
            done = self._sweep(batch)
            journal.append_all([(sample_key(sample), sample.to_dict()) for sample in done])
            progress.update(len(batch))
            self.session.keep_time()

    def _drop_hopeless(self, journal: Journal, first: set[tuple[str, str]]) -> None:
        """Whole branches fall away with their last configuration."""
        seen = [journalled(SweepSample, key, journal[key]) for key in journal if (key.task, key.doc_id) in first]
        kept, before = hopeful(seen), self.sweeper.configurations
        logger.info("%s: %d of %d configurations are not hopeless", self.record.model, len(kept), len(before))
        self.sweeper = Sweeper(self.sweeper.engine, kept, answers=self.sweeper.answers)

    def _waiting(self, samples: Sequence[Sample], journal: Journal) -> list[Sample]:
        """Samples that no earlier session finished; their images are only read where one may have."""
        recorded = {(key.task, key.doc_id) for key in journal}
        waiting = []
        for sample in samples:
            known = (sample.task, self._doc_id(sample)) in recorded
            if not known or self._key(sample, _hashes(self._images(sample))) not in journal:
                waiting.append(sample)
        return waiting

    def _images(self, sample: Sample) -> tuple["Image", ...]:
        return read_images(sample, self.tasks[sample.task].task.dataset)  # type: ignore[arg-type]

    def _doc_id(self, sample: Sample) -> str:
        """In the whole data, where only a part is swept."""
        return str(self.tasks[sample.task].rows[sample.doc_id])

    def _key(self, sample: Sample, hashes: Sequence[str]) -> JournalKey:
        identity = request_identity(self.record)
        return JournalKey(sample.task, self._doc_id(sample), request_hash(identity, sample, hashes))

    def _sweep(self, batch: Sequence[Sample]) -> list[SweepSample]:
        images = {sample.key: self._images(sample) for sample in batch}
        accepted = {sample.key: references(self.tasks[sample.task], sample.doc_id) for sample in batch}

        def sweep(part: Sequence[Sample]) -> list[Swept]:
            requests = [to_request(sample, images[sample.key]) for sample in part]
            return self.sweeper.sweep(requests, [accepted[sample.key] for sample in part])

        return [
            self._record(sample, _hashes(images[sample.key]), accepted[sample.key], found)
            for part, swept in in_memory(batch, sweep)
            for sample, found in zip(part, swept, strict=True)
        ]

    def _record(self, sample: Sample, hashes: tuple[str, ...], texts: tuple[str, ...], found: Swept) -> SweepSample:
        task, cost = self.tasks[sample.task], found.cost
        answers = [result.answer or "" for result in found.results]  # all empty where none was generated
        scores = score_answers(task, sample.doc_id, answers)
        results = tuple(
            replace(result, score=score.score) if self.sweeper.answers else result
            for result, score in zip(found.results, scores, strict=True)
        )
        key = self._key(sample, hashes)
        return SweepSample(
            run_id=self.record.run_id,
            task=task.name,
            group=task.spec.group,
            doc_id=key.doc_id,
            unit=scores[0].unit,
            stratum=scores[0].stratum,
            prompt=sample.prompt,
            references=texts,
            reference_tokens=found.reference_tokens,
            template=task.texts[sample.doc_id].get("template"),
            image_hashes=hashes,
            request_hash=key.request_hash,
            vision_tokens=cost.vision_tokens,
            text_tokens=cost.text_tokens,
            tiles=cost.tiles,
            encode_flops=encode_flops(cost),
            dense_encode_flops=encode_flops(cost, dense=True),
            dense_prefill_flops=int(cost.dense_total(Accounting.EXACT)),
            dense_prefill_flops_causal=int(cost.dense_total(Accounting.EXACT, causal=True)),
            nominal_dense=cost.nominal_dense,
            routed=found.routed,
            router_flops=found.router_flops,
            router_flops_causal=found.router_flops_causal,
            results=results,
        )


def _hashes(images: Sequence["Image"]) -> tuple[str, ...]:
    return tuple(image_hash(image) for image in images)
