"""A run's folder: ``run.json`` (RunRecord), ``journal.jsonl`` (answers as they finish), ``samples.jsonl`` (scored).

``run.json`` and ``samples.jsonl`` are written whole to a temporary file and renamed, so that a reader sees the old or
the new content, never half of it. Aggregates are not stored: they are recomputed from samples.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visor_eval.records.journal import Journal, JournalError, read_journal
from visor_eval.records.run_record import RunRecord, RunStatus
from visor_eval.records.sample_record import SampleRecord
from visor_eval.records.schema import SchemaError

RUN_FILE = "run.json"
JOURNAL_FILE = "journal.jsonl"
SAMPLES_FILE = "samples.jsonl"


class StoreError(RuntimeError):
    """A run folder cannot be read or written."""


@dataclass(frozen=True)
class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder; created by ``write_run`` and ``open_journal`` where it is missing.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name, the run's id."""
        return self.path.name

    def write_run(self, run: RunRecord) -> None:
        """Write or replace ``run.json``."""
        write_atomically(self.path / RUN_FILE, json.dumps(run.to_dict(), indent=2, allow_nan=False) + "\n")

    def read_run(self) -> RunRecord:
        """Read ``run.json``.

        Raises:
            StoreError: missing or damaged, with the file's name.
        """
        path = self.path / RUN_FILE
        try:
            return RunRecord.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise StoreError(f"{self.name}: no {RUN_FILE}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.name}/{RUN_FILE}: {error}") from error

    def open_journal(self) -> Journal:
        """Open the journal for appending; finished samples of an earlier session are in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return Journal(self.path / JOURNAL_FILE)

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

    def load(self) -> "Run":
        """Read run and samples together, checked against each other.

        Raises:
            StoreError: either is missing or damaged, samples belong to another run, or a finished run lost samples.
        """
        run, samples = self.read_run(), self.read_samples()
        strangers = sorted({sample.run_id for sample in samples} - {run.run_id})
        if strangers:
            raise StoreError(f"{self.name}/{SAMPLES_FILE}: samples of other runs: {', '.join(strangers)}")
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
                if (path / JOURNAL_FILE).exists():
                    read_journal(path / JOURNAL_FILE)
        except (StoreError, SchemaError, JournalError) as error:
            damaged[folder.name] = str(error)
    runs.sort(key=lambda run: (run.run.started_utc, run.run.run_id))
    return RunListing(runs=tuple(runs), unfinished=tuple(unfinished), damaged=damaged)


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in (RUN_FILE, JOURNAL_FILE, SAMPLES_FILE))


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file beside ``path``, fsync it, rename it over ``path``."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        import tempfile

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
