"""A third party's method: the package printed in baselines/README.md is built, installed, found and run."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.baselines.vectors import random_tokens
from visor_eval import cli
from visor_eval.harness.registry import make_parts, methods

README = Path(__file__).parents[2] / "baselines" / "README.md"
METHOD, PROJECT = "norm_keep.py", "pyproject.toml"
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def printed(name: str, language: str) -> str:
    """The file as the README prints it."""
    (text,) = re.findall(rf"^`{name}`:\n\n```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package, built by its own backend; nothing is downloaded."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    (source / METHOD).write_text(printed(METHOD, "python"), encoding="utf-8")
    (source / PROJECT).write_text(printed(PROJECT, "toml"), encoding="utf-8")
    command = [sys.executable, "-c", BUILD, str(built)]
    found = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return built / found.stdout.split()[-1]


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder on the path that the wheel is unpacked into, as an installer does with a wheel without scripts."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder
    sys.modules.pop("norm_keep", None)


def test_it_is_small():
    code, project = printed(METHOD, "python"), printed(PROJECT, "toml")
    assert len(code.splitlines()) <= 40
    points = project.split("[project.entry-points")[1].strip().splitlines()
    assert points[1:] == ['norm-keep = "norm_keep:NormKeep"']


def test_the_wheel_holds_the_method_and_its_entry_point(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert METHOD in names
        assert "norm-keep = norm_keep:NormKeep" in archive.read(points).decode()


def test_the_registry_finds_it_and_it_keeps_the_largest(site):
    assert methods()["norm-keep"].summary == "NormKeep (an example): the tokens with the largest features stay."
    (part,) = make_parts("norm-keep", {"share": 0.5})
    assert Path(sys.modules["norm_keep"].__file__).parent == site
    tokens = random_tokens((1, 2), (7, 7))
    out = part.reduce(tokens)
    assert out.num_tokens == 3 * 24
    kept = torch.zeros(3, 49, dtype=torch.bool)
    kept[out.tile, out.position] = True
    norms = tokens.features.norm(dim=-1)
    assert (norms.masked_fill(~kept, torch.inf).amin(dim=1) >= norms.masked_fill(kept, 0).amax(dim=1)).all()
    (all_of_them,) = make_parts("norm-keep", {"share": 1.0})
    assert torch.equal(all_of_them.reduce(tokens).features, tokens.features.flatten(0, 1))


@pytest.mark.parametrize("model", ["norm-keep", "visor+norm-keep", "norm-keep+fastv"])
def test_visor_eval_runs_it(site, tmp_path, capsys, model):
    command = ["run", "--model", model, "--tasks", "pope", "--limit", "2", "--output_path", str(tmp_path)]
    assert cli.main([*command, "--model_args", "share=0.5"]) == 0
    assert model in capsys.readouterr().out
    assert cli.main([*command, "--model_args", "shar=0.5"]) == 2
    assert "did you mean 'share'" in capsys.readouterr().err


def test_the_command_lists_it_in_a_process_of_its_own(site):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "visor_eval.cli", "list", "methods"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert re.search(r"^  norm-keep +NormKeep \(an example\)", found.stdout, re.MULTILINE)
