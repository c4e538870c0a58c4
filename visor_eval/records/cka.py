"""How alike a model's vision features are from layer to layer: one record per sample, and the folder that holds them.

The folder has ``cka.json`` (a RunRecord) and ``cka.jsonl`` (a journal whose payloads are CkaSamples); the journal is
the only copy.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from visor_eval.records.folder import RecordFolder
from visor_eval.records.run_record import RunRecord
from visor_eval.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class CkaSample(Record):
    """CKA between all pairs of one sample's vision states.

    State 0 is what enters the decoder, state k what layer k leaves behind. Layers that a plan keeps away from the
    vision tokens leave them as they are, so that only distinct states are compared.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    run_id: str  # of the RunRecord in cka.json
    task: str  # task name as lmms-eval knows it
    group: str  # "easy", "hard" or another group's name
    doc_id: str  # document index within the task, as text
    unit: str  # resampling unit: hash of the images, since samples of one image share their vision features
    request_hash: str  # identifies the request in the journal
    configuration: tuple[int, ...] | None  # layers, from 1, that process vision; None: dense, every layer
    vision_tokens: int  # that were compared, newlines included
    states: tuple[int, ...]  # for each state 0..layers the index of its distinct state
    similarity: tuple[float | None, ...]  # upper triangle of the distinct states, row by row; None: not defined
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject a triangle of the wrong size."""
        distinct = self.distinct
        if not self.states or set(self.states) != set(range(distinct)):
            raise ValueError(f"{self.task} {self.doc_id}: states must number the distinct states, got {self.states}")
        if len(self.similarity) != distinct * (distinct + 1) // 2:
            raise ValueError(
                f"{self.task} {self.doc_id}: {distinct} distinct states make {distinct * (distinct + 1) // 2} pairs, "
                f"got {len(self.similarity)}"
            )

    @property
    def distinct(self) -> int:
        """Number of distinct states."""
        return max(self.states, default=-1) + 1


@dataclass(frozen=True)
class CkaRun:
    """A CKA run and its samples, in memory.

    Attributes:
        run: its record; ``config["estimator"]`` is ``biased`` (formula S1) or ``unbiased`` (HSIC_1).
        samples: in the order in which they were finished.
    """

    run: RunRecord
    samples: tuple[CkaSample, ...]


@dataclass(frozen=True)
class CkaFolder(RecordFolder):
    """One CKA run on disk; its journal is the only copy of the samples."""

    RECORD_FILE: ClassVar[str] = "cka.json"
    JOURNAL_FILE: ClassVar[str] = "cka.jsonl"

    def load(self) -> CkaRun:
        """Read the record and every finished sample.

        Raises:
            StoreError: the record is missing or damaged, or samples are another run's or, of a finished one, missing.
            JournalError: the journal is damaged before its last line.
        """
        run = self.read_run()
        return CkaRun(run=run, samples=self.read_journalled(run, CkaSample))
