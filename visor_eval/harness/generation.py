"""Answer many samples: equal-sized batches, each finished sample on disk before the next batch starts."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from visor_eval.errors import SetupError
from visor_eval.harness.samples import (
    Sample,
    image_hash,
    max_new_tokens,
    read_images,
    request_hash,
    stop_strings,
    to_request,
)
from visor_eval.models.generation import until_stop
from visor_eval.records import CostRecord, Journal, JournalKey

if TYPE_CHECKING:
    from PIL.Image import Image

    from visor_eval.models.engine import Answer, Engine

logger = logging.getLogger(__name__)

BATCH_SAMPLES = 32  # automatic batching: at most this many samples
BATCH_PIXELS = 4_000_000  # and at most this many pixels, each counted as the largest of its batch


Key = tuple[str, int]  # task, document
Datasets = Mapping[str, Mapping[str, Any]]  # task -> split -> documents
_Result = TypeVar("_Result")


class GenerationError(RuntimeError):
    """The model failed on a batch. Never scored as a wrong answer: the run stops."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One answered sample."""

    text: str
    cost: CostRecord | None
    request_hash: str
    image_hashes: tuple[str, ...]


@dataclass(kw_only=True)
class Generator:
    """Answers samples with one engine.

    Attributes:
        engine: the model.
        identity: model, weights and settings, as text; part of every request's hash.
        journal: where finished samples go and come from; None: nothing is kept.
        batch_size: samples per batch; None: by image size.
        image_sources: task -> for each document the one whose images it is shown (`--shuffle-images`).
        original_ids: task -> for each document its id in the whole split, where only a part is run; journalled.
        progress: called with the number of samples that just finished, and whether they came from the journal.
    """

    engine: "Engine"
    identity: str = ""
    journal: Journal | None = None
    batch_size: int | None = None
    image_sources: Mapping[str, Sequence[int]] = field(default_factory=dict)
    original_ids: Mapping[str, Sequence[int]] = field(default_factory=dict)
    progress: Callable[[int, bool], None] = lambda count, known: None

    def run(self, samples: Iterable[Sample], datasets: Datasets) -> dict[Key, Finished]:
        """Answer every sample once; those in the journal are not computed again.

        Args:
            samples: what to answer; repeats of a sample and padding clones share its answer.
            datasets: task -> split -> documents.

        Raises:
            SetupError: an image cannot be read.
            GenerationError: the engine failed.
        """
        distinct = {sample.key: sample for sample in sorted(samples, key=lambda sample: sample.padding, reverse=True)}
        finished = self._known(distinct, datasets)
        waiting = [sample for key, sample in distinct.items() if key not in finished]
        for batch in batches(waiting, self.batch_size):
            finished.update(self._answer(batch, datasets))
        return finished

    def _known(self, samples: Mapping[Key, Sample], datasets: Datasets) -> dict[Key, Finished]:
        """Samples that an earlier session finished, their requests being what they were."""
        if self.journal is None or not len(self.journal):
            return {}
        recorded = {(key.task, key.doc_id) for key in self.journal}
        known = {}
        for key, sample in samples.items():
            if (sample.task, self._original_id(sample)) not in recorded:
                continue
            _, hashes = self._images(sample, datasets)
            entry = self._entry(sample, hashes)
            if entry in self.journal:
                known[key] = _from_payload(self.journal[entry], entry.request_hash)
        if known:
            self.progress(len(known), True)
        return known

    def _original_id(self, sample: Sample) -> str:
        ids = self.original_ids.get(sample.task)
        return str(sample.doc_id if ids is None else ids[sample.doc_id])

    def _entry(self, sample: Sample, hashes: Sequence[str]) -> JournalKey:
        return JournalKey(sample.task, self._original_id(sample), request_hash(self.identity, sample, hashes))

    def _images(self, sample: Sample, datasets: Datasets) -> tuple[tuple["Image", ...], tuple[str, ...]]:
        sources = self.image_sources.get(sample.task)
        source = None if sources is None else sources[sample.doc_id]
        images = read_images(sample, datasets[sample.task], source)
        return images, tuple(image_hash(image) for image in images)

    def _answer(self, batch: list[Sample], datasets: Datasets) -> dict[Key, Finished]:
        shown = {sample.key: self._images(sample, datasets) for sample in batch}

        def ask(part: Sequence[Sample]) -> list[tuple["Answer", float]]:
            start = time.perf_counter()
            answers = self.engine.answer([to_request(sample, shown[sample.key][0]) for sample in part])
            elapsed_ms = (time.perf_counter() - start) * 1000 / len(part)
            return [(answer, elapsed_ms) for answer in answers]

        finished = {}
        for part, answers in in_memory(batch, ask):
            lines = []
            for sample, (answer, elapsed_ms) in zip(part, answers, strict=True):
                hashes = shown[sample.key][1]
                entry = self._entry(sample, hashes)
                done = Finished(
                    text=until_stop(answer.text, stop_strings(sample.generation)),
                    cost=_timed(answer, elapsed_ms, len(part)),
                    request_hash=entry.request_hash,
                    image_hashes=hashes,
                )
                finished[sample.key] = done
                if not sample.padding:
                    lines.append((entry, _to_payload(done, answer.token_ids)))
            if self.journal is not None:
                self.journal.append_all(lines)
            self.progress(len(lines), False)
        return finished


def batches(samples: Sequence[Sample], batch_size: int | None) -> Iterator[list[Sample]]:
    """Group samples of similar size, largest first (memory trouble shows early, the remaining time is never rosy).

    Args:
        samples: what to group.
        batch_size: samples per batch; None: as many as `BATCH_SAMPLES` and `BATCH_PIXELS` allow.
    """
    ordered = sorted(
        samples,
        key=lambda s: (s.pixels, len(s.prompt), max_new_tokens(s.generation), s.task, s.doc_id),
        reverse=True,
    )
    batch: list[Sample] = []
    for sample in ordered:
        limit = batch_size or max(1, min(BATCH_SAMPLES, BATCH_PIXELS // max(1, batch[0].pixels if batch else 1)))
        if len(batch) >= limit:
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def in_memory(
    batch: Sequence[Sample], model: Callable[[Sequence[Sample]], list[_Result]]
) -> Iterator[tuple[Sequence[Sample], list[_Result]]]:
    """Run a model on a batch, halved until it fits into memory.

    Args:
        batch: samples.
        model: one result per sample.

    Returns:
        The parts that it was run on, each with its results as soon as they are there.

    Raises:
        SetupError: as the model raised it.
        GenerationError: anything else that it raised, or the wrong number of results.
    """
    results = None
    try:
        results = model(batch)
    except SetupError:
        raise
    except Exception as error:
        if len(batch) < 2 or type(error).__name__ != "OutOfMemoryError":
            told = f"{type(error).__name__}: {error}"
            raise GenerationError(f"the model failed on {_names(batch)} ({told}); nothing of it counts") from error
    if results is None:  # behind the except block, which would hold on to the memory of what failed
        logger.warning("out of memory with %d samples at once; halving the batch", len(batch))
        middle = len(batch) // 2
        yield from in_memory(batch[:middle], model)
        yield from in_memory(batch[middle:], model)
        return
    if len(results) != len(batch):
        raise GenerationError(f"the model gave {len(results)} answers to {len(batch)} requests ({_names(batch)})")
    yield batch, results


def _names(batch: Sequence[Sample]) -> str:
    shown = ", ".join(f"{sample.task} {sample.doc_id}" for sample in batch[:3])
    return shown if len(batch) <= 3 else f"{shown} and {len(batch) - 3} more"


def _timed(answer: "Answer", elapsed_ms: float, size: int) -> CostRecord:
    """The answer's cost, with the batch's share of wall time where the engine measured none."""
    if answer.cost.latency_ms is not None:
        return answer.cost
    return replace(answer.cost, latency_ms=elapsed_ms, batch_size=size)


def _to_payload(done: Finished, token_ids: Sequence[int]) -> dict[str, Any]:
    return {
        "answer": done.text,
        "token_ids": [int(token) for token in token_ids],
        "image_hashes": list(done.image_hashes),
        "cost": None if done.cost is None else done.cost.to_dict(),
    }


def _from_payload(payload: Mapping[str, Any], request: str) -> Finished:
    cost = payload["cost"]
    return Finished(
        text=payload["answer"],
        cost=None if cost is None else CostRecord.from_dict(cost),
        request_hash=request,
        image_hashes=tuple(payload["image_hashes"]),
    )
