"""A folder with a record of what was run and a journal of what is finished: a run, a sweep, a CKA run."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeVar

from visor_eval.records.journal import Journal, JournalKey, read_journal
from visor_eval.records.run_record import RunRecord, RunStatus
from visor_eval.records.schema import JsonValue


class StoreError(RuntimeError):
    """A run folder cannot be read or written."""


class JournalledSample(Protocol):
    """A record that stands in a journal as it is."""

    @property
    def run_id(self) -> str:
        """The run that made it."""
        ...

    @property
    def task(self) -> str:
        """lmms-eval's name of its task."""
        ...

    @property
    def doc_id(self) -> str:
        """Its place in the task's data."""
        ...

    @property
    def request_hash(self) -> str:
        """Hash of what was asked."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Read it back."""
        ...


Sample = TypeVar("Sample", bound=JournalledSample)


@dataclass(frozen=True)
class RecordFolder:
    """One such folder.

    Attributes:
        path: the folder; created by ``write_run`` and ``open_journal`` where it is missing.
    """

    path: Path

    RECORD_FILE: ClassVar[str]
    JOURNAL_FILE: ClassVar[str]

    @property
    def name(self) -> str:
        """The folder's name, the run's id."""
        return self.path.name

    def write_run(self, run: RunRecord) -> None:
        """Write or replace the record."""
        write_atomically(self.path / self.RECORD_FILE, json.dumps(run.to_dict(), indent=2, allow_nan=False) + "\n")

    def read_run(self) -> RunRecord:
        """Read the record.

        Raises:
            StoreError: missing or damaged, with the file's name.
        """
        try:
            return RunRecord.from_dict(json.loads((self.path / self.RECORD_FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StoreError(f"{self.name}: no {self.RECORD_FILE}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.name}/{self.RECORD_FILE}: {error}") from error

    def open_journal(self) -> Journal:
        """Open the journal for appending; finished samples of an earlier session are in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return Journal(self.path / self.JOURNAL_FILE)

    def count_samples(self) -> dict[str, int]:
        """Task -> number of finished samples on the disk, here those of the journal.

        Raises:
            JournalError: the journal is damaged before its last line.
        """
        return dict(Counter(key.task for key in self._entries()))

    def read_journalled(self, run: RunRecord, kind: type[Sample]) -> tuple[Sample, ...]:
        """Every finished sample of a folder whose journal is the only copy, in the order of finishing.

        Raises:
            StoreError: a sample is no ``kind`` or belongs to another run than ``run``, or a finished run lost samples.
            JournalError: the journal is damaged before its last line.
        """
        samples = tuple(journalled(kind, key, payload) for key, payload in self._entries().items())
        self.check_samples(run, samples, self.JOURNAL_FILE)
        return samples

    def check_samples(self, run: RunRecord, samples: Sequence[JournalledSample], file: str) -> None:
        """Compare the samples in ``file`` with the record they belong to; records before schema 3 hold no numbers.

        Raises:
            StoreError: samples belong to another run, or a finished run has not as many of a task as it finished with.
        """
        strangers = sorted({sample.run_id for sample in samples} - {run.run_id})
        if strangers:
            raise StoreError(f"{self.name}/{file}: samples of other runs: {', '.join(strangers)}")
        if run.status != RunStatus.FINISHED or not run.sample_counts:
            return
        found, finished = Counter(sample.task for sample in samples), Counter(run.sample_counts)
        odd = [task for task in finished | found if found[task] != finished[task]]
        if odd:
            counts = ", ".join(f"{task} {found[task]} of {finished[task]}" for task in odd)
            raise StoreError(
                f"{self.name}/{file} does not hold the samples that were finished ({counts}): copy that file again "
                "from where it was made, or remove the folder and run the same command again"
            )

    def _entries(self) -> dict[JournalKey, dict[str, JsonValue]]:
        path = self.path / self.JOURNAL_FILE
        return read_journal(path) if path.exists() else {}


def sample_key(sample: JournalledSample) -> JournalKey:
    """Where a sample stands in its journal."""
    return JournalKey(sample.task, sample.doc_id, sample.request_hash)


def journalled(kind: type[Sample], key: JournalKey, payload: Mapping[str, JsonValue]) -> Sample:
    """A journal's entry as a record.

    Raises:
        StoreError: the payload is no ``kind``, or another key's.
    """
    try:
        sample = kind.from_dict(payload)
    except ValueError as error:
        raise StoreError(f"{key.task} {key.doc_id}: {error}") from error
    if sample_key(sample) != key:
        raise StoreError(f"the journal's entry {key} holds another sample: {sample_key(sample)}")
    return sample


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file beside ``path``, fsync it, rename it over ``path``."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StoreError(
            f"could not write {path}: {error.strerror or error}; what was there before is unchanged"
        ) from error
