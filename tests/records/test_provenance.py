"""Provenance names code and machine, and nobody's home."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from visor_eval.records import Provenance, collect_provenance, without_paths
from visor_eval.records.provenance import git_state


def test_collect() -> None:
    found = collect_provenance(device="cpu", command=["/home/ada/bin/visor-eval", "run", "--output_path=/home/ada/out"])
    assert found.command == ("visor-eval", "run", "--output_path=.../out")
    assert found.python.startswith("3.")
    assert found.cpu_count
    assert found.packages["numpy"]
    assert "not-a-package" not in collect_provenance(device="cpu", packages=["not-a-package"]).packages
    text = json.dumps(found.to_dict())
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert Provenance.from_dict(json.loads(text)) == found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/home/ada/models/visor", ".../visor"),
        ("dense=/home/ada/a,visor=/home/ada/b", "dense=.../a,visor=.../b"),
        ("~/models/x", ".../x"),
        ("~ada/models/x", ".../x"),
        ("https://user:secret@index.example/simple/", "https:.../simple"),
        ("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"),
        ("easy,hard", "easy,hard"),
        ("results/run", "results/run"),
        ("./results", "./results"),
        (3, 3),
        (None, None),
        ({"a": ["/home/ada/x", 1]}, {"a": [".../x", 1]}),
    ],
)
def test_without_paths(given: object, expected: object) -> None:
    assert without_paths(given) == expected


def test_paths_below_the_working_folder_become_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert without_paths(f"--output_path={tmp_path}/results/a") == "--output_path=results/a"
    assert without_paths(tmp_path) == "."


def test_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first", "--no-verify")
    commit, dirty = git_state(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == (commit, True)
    (tmp_path / "inner").mkdir()
    assert git_state(tmp_path / "inner") == (None, None)


def test_start_up_stays_light() -> None:
    program = (
        "import sys, visor_eval.records, visor_eval.cost;"
        "heavy = {'torch', 'transformers', 'lmms_eval', 'numpy', 'pandas', 'subprocess'} & set(sys.modules);"
        "print(*sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    program = program.replace("visor_eval.cost", "visor_eval.cost, visor_eval.analysis, visor_reports.terminal")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "lmms_eval", "pandas"}
