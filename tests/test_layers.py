"""Imports go down only, and results are read without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_import_contracts_hold():
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 broken" in found.stdout


@pytest.mark.parametrize(
    "module",
    [
        "visor_eval",
        "visor_eval.cli",
        "visor_eval.records",
        "visor_eval.cost",
        "visor_eval.analysis",
        "visor_reports.terminal",
        "visor_tasks.suites",
        "visor_tasks.mini",
        "visor_eval.harness.registry",
    ],
)
def test_light_rooms_import_no_torch(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'transformers', 'lmms_eval', 'datasets'} & set(sys.modules); "
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_no_file_is_too_long_and_no_machine_path_is_tracked():
    for file in [
        path for room in ("visor_eval", "baselines", "tasks", "reports") for path in (ROOT / room).rglob("*.py")
    ]:
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, f"{file.relative_to(ROOT)} is long: is it one idea?"
        assert str(ROOT) not in text, file
