"""An append-only journal of finished samples that survives kill -9.

One JSON line per finished sample, written and fsynced before the next sample counts as finished. A process killed in
the middle of a write leaves a line without its newline: that line is dropped (its sample is computed again). Damage
anywhere else is never skipped in silence: every line carries a checksum, and a bad one is reported with file and line.
"""

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from visor_eval.records.schema import JsonValue

try:
    import fcntl
except ImportError:  # Windows: no advisory lock there
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


class JournalError(RuntimeError):
    """The journal is damaged, cannot be written, or is in use by another process."""


@dataclass(frozen=True)
class JournalKey:
    """Identifies a finished sample.

    Attributes:
        task: task name.
        doc_id: document index within the task, as text.
        request_hash: hash over everything that the answer depends on: prompt, image pixels, generation settings, model,
            weights and configuration. A sample whose request changed is therefore computed again.
    """

    task: str
    doc_id: str
    request_hash: str


class Journal:
    """Finished samples of one run.

    Usage::

        with Journal(path) as journal:
            if key in journal:
                payload = journal[key]
            else:
                journal.append(key, {"answer": ..., "cost": cost.to_dict()})  # safe on disk when this returns
    """

    def __init__(self, path: Path) -> None:
        """Open or create the journal, read what is finished, cut off a torn last line.

        Args:
            path: the file; its folder must exist.

        Raises:
            JournalError: damage before the last line (file and line named), or another process holds the journal.
        """
        self.path = Path(path)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            content, self._end = _complete_lines(self.path)
            self._entries = dict(_parse(self.path, content))
            torn = os.fstat(self._fd).st_size - self._end
            if torn:
                logger.warning("%s: dropped a torn last line (%d bytes); its sample runs again", self.path.name, torn)
                os.ftruncate(self._fd, self._end)
                os.fsync(self._fd)
            _sync_folder(self.path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, key: JournalKey, payload: Mapping[str, JsonValue]) -> None:
        """Write one finished sample; it is on the disk when this returns. Errors as for ``append_all``."""
        self.append_all([(key, payload)])

    def append_all(self, samples: Sequence[tuple[JournalKey, Mapping[str, JsonValue]]]) -> None:
        """Write a batch of finished samples with one fsync; they are on the disk when this returns.

        Raises:
            JournalError: they could not be written (disk full, read-only); all earlier samples are kept, none of these
                is, and the journal can be appended to again once the cause is removed.
            ValueError: a sample is in the journal already, or the journal is closed.
        """
        if self._fd < 0:
            raise ValueError(f"{self.path.name} is closed")
        new: dict[JournalKey, dict[str, JsonValue]] = {}
        lines = []
        for key, payload in samples:
            if key in self._entries or key in new:
                raise ValueError(f"{self.path.name} already holds {key}")
            line = encode_line(key, payload)
            lines.append(line)
            new[key] = _decode(line)[1]
        data = b"".join(lines)
        try:
            _write_all(self._fd, data, self._end)
            os.fsync(self._fd)
        except OSError as error:
            self._cut_off()
            first = next(iter(new))
            named = f"sample {first.task} {first.doc_id}" + (f" and {len(new) - 1} more" if len(new) > 1 else "")
            raise JournalError(
                f"could not write {named} to {self.path}: {error.strerror or error}. "
                f"The {len(self._entries)} samples before are safe; make room or fix the disk and run the same "
                "command again to go on"
            ) from error
        self._end += len(data)
        self._entries.update(new)

    def _cut_off(self) -> None:
        """Remove what a failed write left behind."""
        try:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        except OSError:
            logger.warning("%s: could not cut off a half-written line; it is dropped on the next start", self.path)

    def __contains__(self, key: object) -> bool:
        """Whether the sample is finished."""
        return key in self._entries

    def __getitem__(self, key: JournalKey) -> dict[str, JsonValue]:
        """Return the payload of a finished sample."""
        return self._entries[key]

    def __iter__(self) -> Iterator[JournalKey]:
        """Keys of the finished samples, in the order they were finished."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return the number of finished samples."""
        return len(self._entries)

    def close(self) -> None:
        """Close the file and release the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journal."""
        self.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(
                f"{self.path} is being written by another process; wait for it or choose another --output_path"
            ) from None
        except OSError as error:  # file systems without locks
            logger.warning(
                "%s: no file lock here (%s); do not run the same output folder twice at once", self.path, error
            )


def read_journal(path: Path) -> dict[JournalKey, dict[str, JsonValue]]:
    """Read a journal without opening it for writing; a torn last line is left out.

    Raises:
        JournalError: damage before the last line, with file and line.
        FileNotFoundError: no such file.
    """
    content, _ = _complete_lines(path)
    return dict(_parse(path, content))


def encode_line(key: JournalKey, payload: Mapping[str, JsonValue]) -> bytes:
    """Return one journal line, newline included: ``<crc32 hex> <json>``."""
    entry = {"task": key.task, "doc_id": key.doc_id, "request_hash": key.request_hash, "payload": payload}
    body = json.dumps(entry, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _complete_lines(path: Path) -> tuple[bytes, int]:
    """Return the content up to its last newline, and the length of that in bytes."""
    content = Path(path).read_bytes()
    end = content.rfind(b"\n") + 1
    return content[:end], end


def _parse(path: Path, content: bytes) -> Iterator[tuple[JournalKey, dict[str, JsonValue]]]:
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            yield _decode(line)
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"{path}, line {number} is damaged ({error or type(error).__name__}); delete that line to compute its "
                "sample again, or start a new run folder"
            ) from error


def _decode(line: bytes) -> tuple[JournalKey, dict[str, JsonValue]]:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if int(checksum, 16) != zlib.crc32(body):
        raise ValueError("checksum differs")
    entry = json.loads(body)
    return JournalKey(entry["task"], entry["doc_id"], entry["request_hash"]), entry["payload"]


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _sync_folder(folder: Path) -> None:
    """Make the file's existence durable (POSIX: a new name lives in its folder)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError:  # some network file systems refuse; the file itself is synced
        logger.debug("cannot fsync folder %s", folder)
    finally:
        os.close(fd)
