"""How alike a model's vision features are from layer to layer: one record per sample, and the folder that holds them.

The folder has ``cka.json`` (a RunRecord) and ``cka.jsonl`` (a journal whose payloads are CkaSamples); the journal is
the only copy.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from visor_eval.records.journal import Journal, JournalKey, read_journal
from visor_eval.records.run_record import RunRecord, RunStatus
from visor_eval.records.schema import JsonValue, Record
from visor_eval.records.store import StoreError, write_atomically

CKA_FILE = "cka.json"
CKA_JOURNAL_FILE = "cka.jsonl"


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
class CkaFolder:
    """One CKA run on disk.

    Attributes:
        path: the folder; created by ``write_run`` and ``open_journal`` where it is missing.
    """

    path: Path

    def write_run(self, run: RunRecord) -> None:
        """Write or replace ``cka.json``."""
        write_atomically(self.path / CKA_FILE, json.dumps(run.to_dict(), indent=2, allow_nan=False) + "\n")

    def read_run(self) -> RunRecord:
        """Read ``cka.json``.

        Raises:
            StoreError: missing or damaged, with the file's name.
        """
        try:
            return RunRecord.from_dict(json.loads((self.path / CKA_FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StoreError(f"{self.path.name}: no {CKA_FILE}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path.name}/{CKA_FILE}: {error}") from error

    def open_journal(self) -> Journal:
        """Open the journal for appending; finished samples of an earlier session are in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return Journal(self.path / CKA_JOURNAL_FILE)

    def load(self) -> CkaRun:
        """Read the record and every finished sample.

        Raises:
            StoreError: the record is missing or damaged, or a sample belongs to another run.
            JournalError: the journal is damaged before its last line.
        """
        run = self.read_run()
        path = self.path / CKA_JOURNAL_FILE
        entries = read_journal(path) if path.exists() else {}
        samples = tuple(cka_sample(key, payload) for key, payload in entries.items())
        strangers = sorted({sample.run_id for sample in samples} - {run.run_id})
        if strangers:
            raise StoreError(f"{self.path.name}/{CKA_JOURNAL_FILE}: samples of other runs: {', '.join(strangers)}")
        return CkaRun(run=run, samples=samples)


def list_cka(root: Path) -> list[CkaRun]:
    """Every finished CKA run under ``root``, oldest first.

    Raises:
        StoreError: one of them is damaged.
    """
    folders = [CkaFolder(path.parent) for path in sorted(root.glob(f"*/{CKA_FILE}"))]
    runs = [folder.load() for folder in folders if folder.read_run().status == RunStatus.FINISHED]
    return sorted(runs, key=lambda run: (run.run.started_utc, run.run.run_id))


def cka_key(sample: CkaSample) -> JournalKey:
    """Where a sample stands in its journal."""
    return JournalKey(sample.task, sample.doc_id, sample.request_hash)


def cka_sample(key: JournalKey, payload: Mapping[str, JsonValue]) -> CkaSample:
    """A journal entry as a record.

    Raises:
        StoreError: the payload is no CKA sample, or another key's.
    """
    try:
        sample = CkaSample.from_dict(payload)
    except ValueError as error:
        raise StoreError(f"{key.task} {key.doc_id}: {error}") from error
    if cka_key(sample) != key:
        raise StoreError(f"the journal's entry {key} holds another sample: {cka_key(sample)}")
    return sample
