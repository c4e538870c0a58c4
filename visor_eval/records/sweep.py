"""A sweep: every configuration of one model on every sample, and the folder that holds it.

A sweep's folder has ``sweep.json`` (a RunRecord) and ``sweep.jsonl`` (a journal whose payloads are SweepSamples). The
journal is the only copy: it is appended to, fsynced and resumed as a run's journal is, and read back as the result.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from visor_eval.records.journal import Journal, JournalKey, read_journal
from visor_eval.records.run_record import RunRecord
from visor_eval.records.sample_record import SampleRecord
from visor_eval.records.schema import JsonValue, Record
from visor_eval.records.store import StoreError, write_atomically

SWEEP_FILE = "sweep.json"
SWEEP_JOURNAL_FILE = "sweep.jsonl"


@dataclass(frozen=True, kw_only=True)
class ConfigurationResult(Record):
    """What one configuration makes of one sample."""

    configuration: tuple[int, ...]  # full layers, from 1; empty: vision is only read
    matched: int  # oracle score (supplement S4): generated tokens equal to the best reference, up to the first mismatch
    reference_tokens: int  # tokens of that reference, end token included; among equal scores the shortest reference
    answer: str | None  # generated text as the task was given it; None: nothing was generated
    generated_tokens: int  # end token included where it was produced; 0: nothing was generated
    score: float | None  # contribution to the task's score, 0..1, as SampleRecord.score; None: not generated
    prefill_flops: int  # decoder prefill, LM head included, router excluded (`exact` accounting of a fixed plan)
    prefill_flops_causal: int  # the same with the causal half of attention
    decode_flops: int  # all decode steps; 0: nothing was generated
    dense_decode_flops: int  # of the dense model for as many tokens
    nominal: float  # `paper` accounting: vision tokens x layers of one tile

    @property
    def complete(self) -> bool:
        """Whether a whole reference was produced, its end token included."""
        return self.matched == self.reference_tokens

    @property
    def self_attention_layers(self) -> int:
        """Layers that process vision tokens."""
        return len(self.configuration)


@dataclass(frozen=True, kw_only=True)
class SweepSample(Record):
    """One sample under every configuration of a sweep."""

    SCHEMA_VERSION: ClassVar[int] = 1

    run_id: str  # of the RunRecord in sweep.json
    task: str  # task name as lmms-eval knows it
    group: str  # "easy", "hard" or another group's name
    doc_id: str  # document index within the task, as text
    unit: str  # resampling unit, as in SampleRecord
    stratum: str | None  # category, as in SampleRecord
    prompt: str  # user turn
    references: tuple[str, ...]  # accepted answers, each once
    reference_tokens: tuple[int, ...]  # of each of them, end token included
    template: str | None  # question template (mini suite)
    image_hashes: tuple[str, ...]  # as in SampleRecord
    request_hash: str  # identifies the request in the journal
    vision_tokens: int  # that enter the decoder, newlines included
    text_tokens: int  # prompt tokens that are not vision
    tiles: int
    encode_flops: int  # tower, projector and reducers, once per sample
    dense_encode_flops: int  # tower and projector of the dense model
    dense_prefill_flops: int  # decoder prefill of the dense model on the same sample
    dense_prefill_flops_causal: int
    nominal_dense: float  # `paper` accounting of dense
    routed: tuple[int, ...] | None  # the configuration that the model's router chooses; None: it has no router
    router_flops: int  # what the router adds to the prefill of the configuration it chose; 0: no router
    router_flops_causal: int
    results: tuple[ConfigurationResult, ...]  # in the order of the sweep's configurations
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject a sample without a result and configurations given twice."""
        if not self.results:
            raise ValueError(f"{self.task} {self.doc_id}: a sweep's sample holds at least one configuration")
        if len({result.configuration for result in self.results}) < len(self.results):
            raise ValueError(f"{self.task} {self.doc_id}: a configuration is listed twice")

    def result(self, configuration: Sequence[int]) -> ConfigurationResult:
        """What ``configuration`` made of the sample; LookupError where the sweep did not run it."""
        for result in self.results:
            if result.configuration == tuple(configuration):
                return result
        raise LookupError(f"{self.task} {self.doc_id}: configuration {list(configuration)} was not swept")

    def sample(self, result: ConfigurationResult) -> SampleRecord:
        """The sample as if only ``result`` had been run, for the functions of `analysis.scores` (cost left out).

        Raises:
            ValueError: nothing was generated.
        """
        if result.score is None or result.answer is None:
            raise ValueError(f"{self.task} {self.doc_id}: this sweep generated no answers, so there is no task score")
        return SampleRecord(
            run_id=self.run_id,
            task=self.task,
            group=self.group,
            doc_id=self.doc_id,
            unit=self.unit,
            stratum=self.stratum,
            score=result.score,
            metrics={},
            prompt=self.prompt,
            answer=result.answer,
            references=self.references,
            template=self.template,
            image_hashes=self.image_hashes,
            request_hash=self.request_hash,
            cost=None,
        )


@dataclass(frozen=True)
class Sweep:
    """A sweep and its samples, in memory.

    Attributes:
        run: the sweep's record; ``config["configurations"]`` lists its configurations.
        samples: in the order in which they were finished.
    """

    run: RunRecord
    samples: tuple[SweepSample, ...]

    @property
    def configurations(self) -> tuple[tuple[int, ...], ...]:
        """The configurations swept."""
        return tuple(tuple(layers) for layers in self.run.config["configurations"])  # type: ignore[union-attr]


@dataclass(frozen=True)
class SweepFolder:
    """One sweep on disk.

    Attributes:
        path: the folder; created by ``write_run`` and ``open_journal`` where it is missing.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name, the sweep's id."""
        return self.path.name

    def write_run(self, run: RunRecord) -> None:
        """Write or replace ``sweep.json``."""
        write_atomically(self.path / SWEEP_FILE, json.dumps(run.to_dict(), indent=2, allow_nan=False) + "\n")

    def read_run(self) -> RunRecord:
        """Read ``sweep.json``.

        Raises:
            StoreError: missing or damaged, with the file's name.
        """
        path = self.path / SWEEP_FILE
        try:
            return RunRecord.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StoreError(f"{self.name}: no {SWEEP_FILE}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.name}/{SWEEP_FILE}: {error}") from error

    def open_journal(self) -> Journal:
        """Open the journal for appending; finished samples of an earlier session are in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return Journal(self.path / SWEEP_JOURNAL_FILE)

    def load(self) -> Sweep:
        """Read the record and every finished sample.

        Raises:
            StoreError: the record is missing or damaged, or a sample belongs to another run.
            JournalError: the journal is damaged before its last line.
        """
        run = self.read_run()
        path = self.path / SWEEP_JOURNAL_FILE
        entries = read_journal(path) if path.exists() else {}
        samples = tuple(sweep_sample(key, payload) for key, payload in entries.items())
        strangers = sorted({sample.run_id for sample in samples} - {run.run_id})
        if strangers:
            raise StoreError(f"{self.name}/{SWEEP_JOURNAL_FILE}: samples of other runs: {', '.join(strangers)}")
        return Sweep(run=run, samples=samples)


def sweep_key(sample: SweepSample) -> JournalKey:
    """Where a sample stands in its journal."""
    return JournalKey(sample.task, sample.doc_id, sample.request_hash)


def sweep_sample(key: JournalKey, payload: Mapping[str, JsonValue]) -> SweepSample:
    """A journal entry as a record.

    Raises:
        StoreError: the payload is no sweep sample, or another key's.
    """
    try:
        sample = SweepSample.from_dict(payload)
    except ValueError as error:
        raise StoreError(f"{key.task} {key.doc_id}: {error}") from error
    if sweep_key(sample) != key:
        raise StoreError(f"the journal's entry {key} holds another sample: {sweep_key(sample)}")
    return sample
