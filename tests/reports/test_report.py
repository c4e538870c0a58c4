"""`visor-eval report` as a user runs it: what it writes, removes, says, and what it never imports."""

import csv
import json
import subprocess
import sys

import pytest

from tests.reports.studies import write_run
from visor_eval.cli import main

QUICK = ["--no-figures", "--no-page"]


@pytest.fixture
def results(tmp_path):
    root = tmp_path / "results"
    for model, full, right in (("dense", None, 0.8), ("fastv", (1, 3, 4, 6), 0.2), ("visor", (1, 4), 0.75)):
        write_run(root, model, full=full, right=right, counts=16, tasks=("gqa", "pope", "chartqa"))
    return root


def test_it_writes_every_table_in_every_form(results, capsys) -> None:
    assert main(["report", str(results), *QUICK]) == 0
    out = capsys.readouterr().out
    folder = results / "report"
    assert "mini suite: dense, fastv, visor" in out
    assert str(folder) in out
    names = {path.name for path in (folder / "tables").iterdir()}
    for table in ("main-comparison-mini", "paired-differences-mini", "printed-s5"):
        assert {f"{table}.{ending}" for ending in ("md", "tex", "csv", "csv-metadata.json")} <= names
    whole = (folder / "report.md").read_text()
    assert "## Mini suite: synthetic, not comparable" in whole
    assert "## Not here" in whole
    assert "fastvlm-mini: no run on a FastVLM backbone" in whole
    with (folder / "tables" / "main-comparison-mini.csv").open() as file:
        rows = {row["Method"]: row for row in csv.DictReader(file)}
    assert float(rows["visor"]["saving_paper"]) == 12.0


def test_provenance_stands_on_every_output(results) -> None:
    main(["report", str(results), *QUICK])
    folder = results / "report"
    outputs = [folder / "report.md", *(folder / "tables").glob("*-mini.md"), *(folder / "tables").glob("*-mini.tex")]
    outputs += [folder / "tables" / "all.tex", *(folder / "tables").glob("*-mini.csv-metadata.json")]
    assert len(outputs) > 10
    for path in outputs:
        text = path.read_text().replace("\\_", "_").replace("{-}", "-")
        for wanted in ("commit", "torch 2.9", "device cpu", "seeds 1", "hash cd", "exact", "visor-eval run"):
            assert wanted in text, (path.name, wanted)
    manifest = json.loads((folder / "report.json").read_text())
    assert {entry["method"] for entry in manifest["runs"]} == {"dense", "fastv", "visor"}
    assert manifest["provenance"]["commit"] is not None


def test_what_is_no_longer_made_is_removed_and_nothing_else(results) -> None:
    main(["report", str(results), "--compare", "dense", "visor", *QUICK])
    folder = results / "report"
    compared = list((folder / "tables").glob("compare-*"))
    assert len(compared) == 4
    (folder / "tables" / "mine.txt").write_text("keep")
    outside = results / "keep.txt"
    outside.write_text("keep")
    manifest = json.loads((folder / "report.json").read_text())
    manifest["files"].append("../keep.txt")
    (folder / "report.json").write_text(json.dumps(manifest))
    main(["report", str(results), *QUICK])
    assert not any(path.exists() for path in compared)
    assert (folder / "tables" / "mine.txt").exists()
    assert outside.exists()


def test_compare_prints_differences(results, capsys) -> None:
    assert main(["report", str(results), "--compare", "dense", "fastv", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "fastv less dense" in out
    assert any(line.startswith("GQA") for line in out.splitlines())


def test_skipped_runs_are_said(results, capsys) -> None:
    (write_run(results, "m3", run_id="broken", tasks=("gqa",)).folder.path / "samples.jsonl").write_text("{")
    main(["report", str(results), *QUICK])
    assert "skipped broken: broken/samples.jsonl" in capsys.readouterr().out
    assert "broken: " in (results / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "is not a folder"),
        (["RESULTS", "--compare", "dense", "nothing"], "no run 'nothing'"),
        (["RESULTS", "--logs", "nowhere"], "no such file"),
        (["RESULTS", "--training-data", "visor"], "RUN=PERCENT"),
        (["RESULTS", "--training-data", "visor=much"], "RUN=PERCENT"),
        (["RESULTS", "--logs", "LOG"], "no lmms-eval log"),
    ],
)
def test_what_a_user_can_fix_is_one_line(results, capsys, arguments, message) -> None:
    log = results.parent / "answers.jsonl"
    log.write_text("")
    given = [{"RESULTS": str(results), "LOG": str(log)}.get(argument, argument) for argument in arguments]
    assert main(["report", *given, *QUICK]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_an_empty_folder_is_no_failure(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path), *QUICK]) == 0
    assert "no finished run" in capsys.readouterr().out
    assert "the paper's printed tables only" in (tmp_path / "report" / "report.md").read_text()


def test_no_torch_and_no_model(results) -> None:
    code = (
        "import sys; from visor_eval.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'lmms_eval', 'datasets'} & set(sys.modules); print('heavy', sorted(heavy)); "
        "sys.exit(code or len(heavy))"
    )
    command = [sys.executable, "-c", code, "report", str(results), "--no-figures"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "heavy []" in done.stdout
    assert (results / "report" / "index.html").exists()
