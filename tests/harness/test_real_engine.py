"""Whole runs with the real runtime: a tiny random checkpoint over the frozen mini suite."""

from dataclasses import replace

import pytest

from visor_eval import cli
from visor_eval.errors import SetupError
from visor_eval.harness.registry import load_engine
from visor_eval.harness.runner import RunRequest, run
from visor_eval.records import list_runs
from visor_tasks.suites import TASKS, Suite


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


def test_a_configuration_is_for_those_that_have_one(dense, visor, tmp_path, caplog):
    request = RunRequest(
        models=("fastv", "visor"),
        tasks=("pope",),
        suite=Suite.MINI,
        pretrained=f"fastv={dense},visor={visor}",
        config="1,4",
        limit=1,
        output_path=tmp_path,
    )
    with caplog.at_level("INFO", logger="visor_eval"):
        runs = {item.run.run.model: item.run for item in run(request)}
    chosen = {model: {sample.cost.configuration for sample in found.samples} for model, found in runs.items()}
    assert chosen == {"fastv": {None}, "visor": {(1, 4)}}
    recorded = {model: found.run.config["configuration"] for model, found in runs.items()}
    assert recorded == {"fastv": None, "visor": "1,4"}
    lines = [line for line in caplog.messages if "--config" in line]
    assert lines == ["fastv: has no configurations, --config 1,4 does not apply"]
    with pytest.raises(SetupError, match="only visor and visor-zero"):
        run(replace(request, models=("dense", "fastv"), pretrained=str(dense)))


def test_the_record_holds_every_setting_defaults_included(dense, tmp_path):
    request = RunRequest(
        models=("visionzip+fastv",),
        tasks=("pope",),
        suite=Suite.MINI,
        pretrained=str(dense),
        model_args={"dominant": 5, "unpad": False},
        limit=1,
        output_path=tmp_path,
    )
    (finished,) = run(request)
    (again,) = list_runs(tmp_path).runs
    for config in (finished.run.run.config, again.run.config):
        assert (config["newline"], config["unpad"]) == ("per_row", False)
        assert config["parts"] == {
            "VisionZip": {"dominant": 5, "contextual": None, "merge": "add_mean"},
            "FastV": {"k": 2, "r": 0.5},
        }


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
