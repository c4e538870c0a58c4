"""A run, sweep or CKA run under way: its folder, its record, and the time that all sessions of it have taken."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Self, TypeVar

from visor_eval.harness.resume import find_unfinished
from visor_eval.records import RunRecord, RunStatus, utc_now
from visor_eval.records.folder import RecordFolder

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 5.0  # how often the time spent so far is written down: a killed session's counts too

Folder = TypeVar("Folder", bound=RecordFolder)


@dataclass
class Session(Generic[Folder]):
    """One of possibly several sessions.

    Attributes:
        folder: where everything lies.
        record: as it was when this session began.
        started: when it began (``time.monotonic``), loading included.
    """

    folder: Folder
    record: RunRecord
    started: float
    _saved: float = field(default_factory=time.monotonic, init=False)

    @classmethod
    def begin(
        cls, kind: type[Folder], root: Path, wanted: RunRecord, *, chance: Mapping[str, float], started: float
    ) -> Self:
        """Go on with the newest unfinished one below ``root`` that has the settings of ``wanted``, or start it."""
        record = find_unfinished(root, wanted, lambda path: kind(path).read_run()) or wanted
        if record is not wanted:
            logger.info("%s: continuing %s", record.model, record.run_id)
        session = cls(kind(root / record.run_id), replace(record, chance=chance), started)
        session.folder.write_run(session.record)
        return session

    def keep_time(self) -> None:
        """Called often; now and then the time spent is written down."""
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._saved = time.monotonic()
            self.folder.write_run(replace(self.record, duration_s=self._spent()))

    def finish(self) -> RunRecord:
        """Write and return the record of what is complete; from now on reading compares the numbers of samples.

        Raises:
            StoreError: the samples cannot be read back (JournalError: those of a journal).
        """
        done = replace(
            self.record,
            status=RunStatus.FINISHED,
            finished_utc=utc_now(),
            duration_s=self._spent(),
            sample_counts=self.folder.count_samples(),
        )
        self.folder.write_run(done)
        return done

    def _spent(self) -> float:
        """Seconds of all sessions, this one included."""
        return (self.record.duration_s or 0.0) + time.monotonic() - self.started
