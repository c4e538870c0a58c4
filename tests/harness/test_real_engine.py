"""Whole runs with the real runtime: a tiny random checkpoint over the frozen mini suite."""

from pathlib import Path

import pytest

from tests.conftest import random_backbone
from tests.visor.conftest import random_modules
from visor_eval import cli
from visor_eval.errors import SetupError
from visor_eval.harness.registry import load_engine
from visor_eval.harness.runner import RunRequest, run
from visor_eval.visor.checkpoint import save_visor
from visor_tasks.suites import TASKS, Suite


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Path:
    """A stock checkpoint folder with random weights."""
    backbone = random_backbone(layers=24)
    folder = tmp_path_factory.mktemp("dense")
    backbone.model.save_pretrained(folder)
    backbone.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def visor(tmp_path_factory) -> Path:
    """A VISOR checkpoint folder with random weights and a router."""
    backbone = random_backbone(layers=24)
    folder = tmp_path_factory.mktemp("visor")
    save_visor(folder, backbone.model, random_modules(backbone, router=True), backbone.processor)
    return folder


def test_every_built_in_model_runs_over_the_mini_suite(dense, visor, tmp_path):
    request = RunRequest(
        models=("dense", "visor", "visor-zero"),
        suite=Suite.MINI,
        pretrained=f"dense={dense},visor={visor},visor-zero={dense}",
        limit=1,
        output_path=tmp_path,
    )
    runs = {item.run.run.model: item.run for item in run(request)}
    expected = len(TASKS) + 1  # a pair of MME
    assert {model: len(found.samples) for model, found in runs.items()} == dict.fromkeys(runs, expected)
    savings = {
        model: sum(s.cost.dense_total() for s in found.samples) / sum(s.cost.total() for s in found.samples)
        for model, found in runs.items()
    }
    assert savings["dense"] == 1.0
    assert savings["visor-zero"] > 1.0
    assert all(s.cost.configuration is not None for s in runs["visor"].samples)
    assert set(runs["dense"].run.chance) == {task.name_in(Suite.MINI) for task in TASKS}


def test_visor_on_stock_weights_names_visor_zero(dense, tmp_path, capsys):
    arguments = ["run", "--model", "visor", "--suite", "mini", "--tasks", "pope", "--limit", "1"]
    assert cli.main([*arguments, "--pretrained", str(dense), "--output_path", str(tmp_path)]) == 2
    assert "visor-zero" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"config": "1,4"}, "only visor and visor-zero"), ({"newline": "often"}, "newline must be per_row or none")],
)
def test_dense_refuses(dense, options, message):
    with pytest.raises(SetupError, match=message):
        load_engine("dense", pretrained=str(dense), **options)
