"""Method names, compositions, options."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import find_checkpoint, parse_pretrained
from visor_eval.harness.plugin import manifests
from visor_eval.harness.registry import default_checkpoint, load_engine, methods, parse_model
from visor_eval.harness.runner import RunRequest, plan
from visor_eval.harness.settings import parse_options


def test_third_parties_add_methods():
    assert list(methods())[:3] == ["dense", "visor", "visor-tr"]
    assert methods()["fake"].summary.startswith("A third party's methods")


def test_listing_imports_no_method():
    code = "import sys; from visor_eval.harness.registry import methods; methods(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_planning_leaves_the_hub_libraries_alone():
    """They read their offline switch when they are imported, and `prepare` sets it behind the plan."""
    code = (
        "import sys; from visor_eval.harness.runner import RunRequest, plan\n"
        "plan(RunRequest(models=('dense', 'visor', 'visor-zero', 'visionzip', 'visor+fastv')))\n"
        "print({'huggingface_hub', 'datasets', 'transformers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_weights_that_are_named_need_no_common_member(tmp_path):
    request = RunRequest(models=("visor+vispruner-trained",), pretrained="visor-tiny", output_path=tmp_path)
    assert plan(request).checkpoints["visor+vispruner-trained"].label == "embedded:visor-tiny"
    with pytest.raises(SetupError, match="name the checkpoint with --pretrained"):
        plan(replace(request, pretrained=None))


@pytest.mark.parametrize(
    ("name", "message"),
    [("visr", "did you mean 'visor'"), ("qqq", "known: dense, visor"), ("visor+", "unknown method ''")],
)
def test_unknown_methods_are_refused(name, message):
    with pytest.raises(SetupError, match=message):
        parse_model(name)


def test_a_method_is_named_once():
    with pytest.raises(SetupError, match="twice"):
        parse_model("visor+visor")


def test_default_checkpoints():
    assert default_checkpoint("dense") == default_checkpoint("fake-part") == "dense-tiny"
    assert default_checkpoint("visor") == default_checkpoint("visor+fake-part") == "visor-tiny"


def test_options_go_to_parts_and_builder(checkpoint, tmp_path):
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"x": "y"}))
    engine = load_engine("fake+fake-part", pretrained=str(checkpoint), table=str(table), keep=7)
    assert engine.answers == {"x": "y"}
    assert [part.keep for part in engine.parts] == [7]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("fake", {"tabel": 1}, "did you mean 'table'"),
        ("fake-part", {"zzz": 1}, "fake-part takes: keep"),
        ("fake+dense", {}, "composes fake and dense"),
    ],
)
def test_options_that_nothing_takes_are_refused(checkpoint, model, options, message):
    with pytest.raises(SetupError, match=message):
        load_engine(model, pretrained=str(checkpoint), **options)


def test_lmms_eval_sees_every_method():
    """The class paths are importable names of the right flavour."""
    from lmms_eval.models.registry_v2 import ModelRegistryV2

    found = {manifest.model_id: manifest for manifest in manifests()}
    assert {"dense", "visor", "visor-zero", "fake", "visor+fake-part"} <= set(found)
    registry = ModelRegistryV2()
    for manifest in found.values():
        registry.register_manifest(manifest)
    assert registry.get_model_class("visor+fake-part").is_simple is False
    assert registry.get_model_class("visor", force_simple=True).is_simple is True


def test_parse_pretrained():
    assert parse_pretrained(None, ["dense"]) == {"dense": None}
    assert parse_pretrained("a/b", ["dense", "visor"]) == {"dense": "a/b", "visor": "a/b"}
    assert parse_pretrained("dense=a/b,visor=c", ["dense", "visor"]) == {"dense": "a/b", "visor": "c"}
    assert parse_pretrained("visor=c", ["dense", "visor"]) == {"dense": None, "visor": "c"}


@pytest.mark.parametrize("value", ["vsor=c", "dense=", "dense=a,dense=b", "dense=a,b"])
def test_parse_pretrained_refuses(value):
    with pytest.raises(SetupError, match="no model=checkpoint pair"):
        parse_pretrained(value, ["dense", "visor"])


def test_checkpoints_are_folders_hub_ids_or_embedded(checkpoint, tmp_path):
    assert find_checkpoint(str(checkpoint), default="x").label == checkpoint.name
    hub = find_checkpoint("owner/name", default="x")
    assert (hub.label, hub.embedded) == ("owner/name", False)
    for wrong in (str(tmp_path / "nothing"), "./nothing", "visor-tny"):
        with pytest.raises(SetupError, match="no checkpoint"):
            find_checkpoint(wrong, default="x")
    with pytest.raises(SetupError, match=r"no config\.json"):
        find_checkpoint(str(tmp_path), default="x")
    with pytest.raises(SetupError, match="not in this installation"):
        find_checkpoint(None, default="x")


def test_parse_options():
    assert parse_options("a=1,b=0.5,c=true,d=none,e=x/y") == {"a": 1, "b": 0.5, "c": True, "d": None, "e": "x/y"}
    assert parse_options("layers=(8,16),ratios=(0.5,0.25),x=1") == {"layers": (8, 16), "ratios": (0.5, 0.25), "x": 1}
    assert parse_options(None) == parse_options("") == {}
    with pytest.raises(SetupError, match="not key=value"):
        parse_options("a")
