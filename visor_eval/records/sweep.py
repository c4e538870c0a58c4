"""A sweep: every configuration of one model on every sample, and the folder that holds it.

A sweep's folder has ``sweep.json`` (a RunRecord) and ``sweep.jsonl`` (a journal whose payloads are SweepSamples). The
journal is the only copy: it is appended to, fsynced and resumed as a run's journal is, and read back as the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from visor_eval.records.folder import RecordFolder
from visor_eval.records.run_record import RunRecord
from visor_eval.records.sample_record import SampleRecord
from visor_eval.records.schema import Record


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
class SweepFolder(RecordFolder):
    """One sweep on disk; its journal is the only copy of the samples."""

    RECORD_FILE: ClassVar[str] = "sweep.json"
    JOURNAL_FILE: ClassVar[str] = "sweep.jsonl"

    def load(self) -> Sweep:
        """Read the record and every finished sample.

        Raises:
            StoreError: the record is missing or damaged, or samples are another run's or, of a finished one, missing.
            JournalError: the journal is damaged before its last line.
        """
        run = self.read_run()
        return Sweep(run=run, samples=self.read_journalled(run, SweepSample))
