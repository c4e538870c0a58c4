"""The journal keeps every finished sample, whatever happens to the process or the disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visor_eval.records import Journal, JournalError, JournalKey, read_journal
from visor_eval.records.journal import encode_line


def key(number: int) -> JournalKey:
    return JournalKey("task", str(number), f"hash{number}")


def filled(path: Path, count: int = 3) -> Path:
    with Journal(path) as journal:
        for number in range(count):
            journal.append(key(number), {"answer": f"ä\n{number}", "cost": {"tiles": number}})
    return path


def test_append_and_reopen(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.jsonl")
    with Journal(path) as journal:
        assert len(journal) == 3
        assert list(journal) == [key(0), key(1), key(2)]
        assert key(1) in journal
        assert JournalKey("task", "1", "another request") not in journal
        assert journal[key(2)] == {"answer": "ä\n2", "cost": {"tiles": 2}}
        journal.append(key(3), {})
        with pytest.raises(ValueError, match="already holds"):
            journal.append(key(3), {})
    with pytest.raises(ValueError, match="closed"):
        journal.append(key(4), {})
    assert list(read_journal(path)) == [key(number) for number in range(4)]


def test_every_torn_last_line_is_dropped(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.jsonl")
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(read_journal(path)) == [key(0), key(1)]
        with Journal(path) as journal:
            assert list(journal) == [key(0), key(1)]
            journal.append(key(2), {"again": True})
        assert read_journal(path)[key(2)] == {"again": True}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_damage_elsewhere_names_file_and_line(tmp_path: Path, number: int) -> None:
    path = filled(tmp_path / "journal.jsonl")
    lines = path.read_bytes().split(b"\n")
    for damaged in (b"", b"garbage", lines[number - 1].replace(b"answer", b"Answer"), b"\0" * 40, b"\xff\xfe"):
        path.write_bytes(b"\n".join([*lines[: number - 1], damaged, *lines[number:]]))
        for open_it in (Journal, read_journal):
            with pytest.raises(JournalError, match=rf"journal.jsonl, line {number} is damaged"):
                open_it(path)


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "journal.jsonl")
    with Journal(path) as journal:
        journal.append_all([(key(3), {"x": 3}), (key(4), {"x": 4})])
        journal.append_all([])
        for repeated in ([(key(5), {}), (key(5), {})], [(key(6), {}), (key(0), {})]):
            with pytest.raises(ValueError, match="already holds"):
                journal.append_all(repeated)
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(JournalError, match=r"sample task 5 and 1 more .*5 samples before"):
            journal.append_all([(key(5), {}), (key(6), {})])
    assert list(read_journal(path)) == [key(number) for number in range(5)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    payloads=st.lists(
        st.dictionaries(
            st.text(),
            st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=4,
    )
)
def test_any_payload_survives(tmp_path: Path, payloads: list[dict]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(encode_line(key(number), payload) for number, payload in enumerate(payloads)))
    assert list(read_journal(path).values()) == payloads


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append(key(0), {"x": float("nan")})
        assert len(journal) == 0


def test_two_writers(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.jsonl")
    with Journal(path), pytest.raises(JournalError, match="written by another process"):
        Journal(path)
    assert len(read_journal(path)) == 3


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "journal.jsonl")
    real = os.pwrite
    room = [10]

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = min(room[0], len(data))
        room[0] -= size
        return real(fd, bytes(data)[:size], offset)

    with Journal(path) as journal:
        monkeypatch.setattr(os, "pwrite", pwrite)
        with pytest.raises(JournalError, match=r"sample task 3 .*No space left on device.*3 samples before are safe"):
            journal.append(key(3), {"answer": "x" * 100})
        assert key(3) not in journal
        assert list(read_journal(path)) == [key(0), key(1), key(2)]
        assert path.read_bytes().endswith(b"\n")
        room[0] = 10**6
        journal.append(key(3), {"answer": "now"})
    assert read_journal(path)[key(3)] == {"answer": "now"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_systems_own_full_device(tmp_path: Path) -> None:
    link = tmp_path / "journal.jsonl"
    with Journal(link) as journal:
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, journal._fd)
        os.close(full)
        with pytest.raises(JournalError, match="No space left on device"):
            journal.append(key(0), {})


WRITER = """
import sys
from pathlib import Path
from visor_eval.records import Journal, JournalKey
with Journal(Path(sys.argv[1])) as journal:
    for number in range(len(journal), 100_000):
        journal.append(JournalKey("task", str(number), "h"), {"answer": "x" * (number % 5000)})
        print(number, flush=True)
"""


def test_kill_9_keeps_every_reported_sample(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    reported = -1
    for patience in (0.3, 0.35):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")[:-1]  # a number without newline was being printed
        process.wait()
        numbers = [int(first), *map(int, rest)]
        assert numbers[0] == reported + 1 or numbers[0] == reported + 2  # at most one was on disk and not yet reported
        reported = numbers[-1]
        found = read_journal(path)
        assert len(found) in (reported + 1, reported + 2)
        assert [int(entry.doc_id) for entry in found] == list(range(len(found)))
    assert json.loads(path.read_bytes().split(b"\n")[0][9:])["doc_id"] == "0"
