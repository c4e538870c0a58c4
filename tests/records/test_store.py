"""Run folders: whole, or named as damaged."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.analysis.sweeps import easy_and_hard
from tests.records.examples import run, sample
from visor_eval.records import JournalKey, RunFolder, RunStatus, StoreError, SweepFolder, list_runs, sample_key


def written(root: Path, name: str, *, status: str = RunStatus.FINISHED, started: str = "2026-01-01") -> RunFolder:
    folder = RunFolder(root / name)
    folder.write_run(replace(run(), run_id=name, status=status, started_utc=started))
    with folder.open_journal() as journal:
        journal.append(JournalKey("mme", "7", "cd"), {"answer": "Yes"})
    folder.write_samples([replace(sample(), run_id=name, doc_id=str(number)) for number in range(3)])
    return folder


def test_round_trip(tmp_path: Path) -> None:
    folder = written(tmp_path, "a")
    loaded = folder.load()
    assert loaded.run == replace(run(), run_id="a", status="finished", started_utc="2026-01-01")
    assert [item.doc_id for item in loaded.samples] == ["0", "1", "2"]
    assert sorted(path.name for path in folder.path.iterdir()) == ["journal.jsonl", "run.json", "samples.jsonl"]


def test_list_runs(tmp_path: Path) -> None:
    written(tmp_path, "newer", started="2026-02-01")
    written(tmp_path, "older")
    written(tmp_path, "going", status=RunStatus.STARTED)
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "file").write_text("x")
    listing = list_runs(tmp_path)
    assert [item.run.run_id for item in listing.runs] == ["older", "newer"]
    assert listing.unfinished == ("going",)
    assert listing.damaged == {}
    with pytest.raises(StoreError, match="is not a folder"):
        list_runs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("run.json", lambda text: text[:50], r"a/run.json: "),
        ("run.json", lambda text: text.replace('"model"', '"modle"'), r"unknown keys \['modle'\]"),
        ("run.json", lambda text: text.replace('"schema_version": 3', '"schema_version": 9'), "newer than 3"),
        ("run.json", None, r"a: no run.json"),
        ("samples.jsonl", None, r"a: no samples.jsonl"),
        ("samples.jsonl", lambda text: text[:-9], "last line is cut off"),
        (
            "samples.jsonl",
            lambda text: text.replace('"doc_id": "1"', '"doc_id": 1'),
            r"samples.jsonl, line 2: .*doc_id",
        ),
        ("samples.jsonl", lambda text: text.replace('"run_id": "a"', '"run_id": "b"'), "samples of other runs: b"),
        ("samples.jsonl", lambda _: "", "marked finished, but samples.jsonl lacks mme"),
    ],
)
def test_damage_is_named(tmp_path: Path, file: str, damage: object, message: str) -> None:
    written(tmp_path, "good")
    path = written(tmp_path, "a").path / file
    if damage is None:
        path.unlink()
    else:
        text = path.read_text(encoding="utf-8")
        changed = damage(text)  # type: ignore[operator]
        assert changed != text
        path.write_text(changed, encoding="utf-8")
    with pytest.raises(StoreError, match=message):
        RunFolder(tmp_path / "a").load()
    listing = list_runs(tmp_path)
    assert [item.run.run_id for item in listing.runs] == ["good"]
    assert list(listing.damaged) == ["a"]


def test_a_finished_run_that_lost_samples_is_named(tmp_path: Path) -> None:
    """Whole lines too; runs that are under way or from before the numbers were recorded load as they are."""
    folder = written(tmp_path, "a")
    path, old = folder.path / "samples.jsonl", folder.read_run()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[::2]))
    assert len(folder.load().samples) == 2
    folder.write_run(replace(old, sample_counts={"mme": 3}))
    with pytest.raises(StoreError, match=r"a/samples.jsonl .*\(mme 2 of 3\).*copy that file again.*remove the folder"):
        folder.load()
    assert "mme 2 of 3" in list_runs(tmp_path).damaged["a"]
    folder.write_run(replace(old, sample_counts={"mme": 3}, status=RunStatus.STARTED))
    assert len(folder.load().samples) == 2


@pytest.mark.parametrize(
    "rest", [lambda lines: lines[:-1], lambda lines: [*lines[:-1], lines[-1][:-9]]], ids=["a line", "part of a line"]
)
def test_a_finished_sweep_that_lost_samples_is_named(tmp_path: Path, rest: Callable[[list[str]], list[str]]) -> None:
    """Its journal is the only copy, and reading one drops a torn last line."""
    samples = easy_and_hard(((1, 4),), count=2, hard=2)
    folder = SweepFolder(tmp_path / "sweep")
    with folder.open_journal() as journal:
        journal.append_all([(sample_key(one), one.to_dict()) for one in samples])
    finished = run(run_id="sweep", status=RunStatus.FINISHED, sample_counts=folder.count_samples())
    folder.write_run(finished)
    assert folder.load().samples == tuple(samples)
    path = folder.path / "sweep.jsonl"
    path.write_text("".join(rest(path.read_text().splitlines(keepends=True))))
    with pytest.raises(StoreError, match=r"sweep/sweep.jsonl .*\(docvqa_val_mini 1 of 2\)"):
        folder.load()
    folder.write_run(replace(finished, sample_counts={}))
    assert len(folder.load().samples) == 3


def test_a_damaged_journal_of_an_unfinished_run_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, "going", status=RunStatus.STARTED)
    (folder.path / "journal.jsonl").write_bytes(b"garbage\n")
    assert "journal.jsonl, line 1" in list_runs(tmp_path).damaged["going"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, "a")
    before = (folder.path / "samples.jsonl").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; what was there before is unchanged"):
        folder.write_samples([])
    assert (folder.path / "samples.jsonl").read_bytes() == before
    assert len(list(folder.path.iterdir())) == 3


def test_line_separators_inside_answers(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a")
    odd = replace(sample(), run_id="a", answer="a\u2028b\x85c\nd\x1ee")
    folder.write_run(replace(run(), run_id="a"))
    folder.write_samples([odd])
    assert folder.read_samples() == [odd]
    assert json.loads((folder.path / "run.json").read_text())["run_id"] == "a"
