"""A run's folder: ``run.json`` (RunRecord), ``journal.jsonl`` (answers as they finish), ``samples.jsonl`` (scored).

``run.json`` and ``samples.jsonl`` are written whole to a temporary file and renamed, so that a reader sees the old or
the new content, never half of it. Aggregates are not stored: they are recomputed from samples.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from visor_eval.records.folder import RecordFolder, StoreError, write_atomically
from visor_eval.records.journal import JournalError, read_journal
from visor_eval.records.run_record import RunRecord, RunStatus
from visor_eval.records.sample_record import SampleRecord
from visor_eval.records.schema import SchemaError

SAMPLES_FILE = "samples.jsonl"


@dataclass(frozen=True)
class RunFolder(RecordFolder):
    """One run on disk."""

    RECORD_FILE: ClassVar[str] = "run.json"
    JOURNAL_FILE: ClassVar[str] = "journal.jsonl"

    def write_samples(self, samples: Iterable[SampleRecord]) -> None:
        """Write or replace ``samples.jsonl``."""
        lines = [json.dumps(sample.to_dict(), ensure_ascii=False, allow_nan=False) for sample in samples]
        write_atomically(self.path / SAMPLES_FILE, "".join(line + "\n" for line in lines))

    def read_samples(self) -> list[SampleRecord]:
        """Read ``samples.jsonl``.

        Raises:
            StoreError: missing or damaged, with file and line.
        """
        path = self.path / SAMPLES_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StoreError(f"{self.name}: no {SAMPLES_FILE}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.name}/{SAMPLES_FILE}: {error}") from error
        lines = text.split("\n")
        if lines[-1]:
            raise StoreError(f"{self.name}/{SAMPLES_FILE}: the last line is cut off")
        samples = []
        for number, line in enumerate(lines[:-1], 1):
            try:
                samples.append(SampleRecord.from_dict(json.loads(line)))
            except ValueError as error:
                raise StoreError(f"{self.name}/{SAMPLES_FILE}, line {number}: {error}") from error
        return samples

    def count_samples(self) -> dict[str, int]:
        """Task -> number of scored samples on the disk; errors as for ``read_samples``."""
        return dict(Counter(sample.task for sample in self.read_samples()))

    def load(self) -> "Run":
        """Read run and samples together, checked against each other.

        Raises:
            StoreError: either is missing or damaged, samples belong to another run, or a finished run lost samples.
        """
        run, samples = self.read_run(), self.read_samples()
        self.check_samples(run, samples, SAMPLES_FILE)
        absent = sorted(set(run.tasks) - {sample.task for sample in samples})
        if run.status == RunStatus.FINISHED and absent:
            raise StoreError(f"{self.name}: marked finished, but {SAMPLES_FILE} lacks {', '.join(absent)}")
        return Run(run=run, samples=tuple(samples))


@dataclass(frozen=True)
class Run:
    """A run and its samples, in memory.

    Attributes:
        run: the run's record.
        samples: its scored samples.
    """

    run: RunRecord
    samples: tuple[SampleRecord, ...]


@dataclass(frozen=True)
class RunListing:
    """What a results folder holds.

    Attributes:
        runs: finished runs, oldest first.
        unfinished: names of runs that started and did not finish.
        damaged: name of each run that cannot be read -> why.
    """

    runs: tuple[Run, ...]
    unfinished: tuple[str, ...]
    damaged: dict[str, str]


def list_runs(root: Path) -> RunListing:
    """Load every run under ``root`` (one folder per run); damaged ones are named, not raised.

    Raises:
        StoreError: ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise StoreError(f"{root} is not a folder")
    runs: list[Run] = []
    unfinished: list[str] = []
    damaged: dict[str, str] = {}
    for path in sorted(entry for entry in root.iterdir() if entry.is_dir() and _is_run(entry)):
        folder = RunFolder(path)
        try:
            if folder.read_run().status == RunStatus.FINISHED:
                runs.append(folder.load())
            else:
                unfinished.append(folder.name)
                if (path / RunFolder.JOURNAL_FILE).exists():
                    read_journal(path / RunFolder.JOURNAL_FILE)
        except (StoreError, SchemaError, JournalError) as error:
            damaged[folder.name] = str(error)
    runs.sort(key=lambda run: (run.run.started_utc, run.run.run_id))
    return RunListing(runs=tuple(runs), unfinished=tuple(unfinished), damaged=damaged)


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in (RunFolder.RECORD_FILE, RunFolder.JOURNAL_FILE, SAMPLES_FILE))
