"""The checkpoint folder: round trip, stock compatibility, and every way in which it can be wrong."""

import json
from copy import deepcopy

import pytest
import torch
from safetensors import safe_open
from transformers import LlavaOnevisionForConditionalGeneration

from tests.conftest import picture
from visor_eval.errors import SetupError
from visor_eval.models.engine import Request
from visor_eval.models.files import checkpoint_folder, processor_hash, weights_hash
from visor_eval.models.loading import load_backbone
from visor_eval.visor.build import build_visor, fixed_configuration, visor_engine
from visor_eval.visor.checkpoint import load_visor, read_visor_config, save_visor
from visor_eval.visor.config import VisorConfig


@pytest.fixture(scope="module")
def folder(backbone, modules, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "visor-random"
    save_visor(path, backbone.model, modules, backbone.processor)
    return path


def edited(folder, tmp_path, **changes):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


def test_round_trip_gives_the_same_answers(folder, backbone, modules, requests):
    loaded = build_visor(load_backbone(folder), folder)
    for ours, theirs in zip(visor_engine(backbone, modules).answer(requests), loaded.answer(requests), strict=True):
        assert (ours.token_ids, ours.cost.configuration) == (theirs.token_ids, theirs.cost.configuration)
    assert read_visor_config(folder) == modules.config
    assert not hasattr(backbone.model.config, "visor"), "saving must leave the model's config as it was"


def test_half_precision_stays_half_on_disk_and_loads_in_the_models_dtype(backbone, modules, tmp_path):
    save_visor(tmp_path / "half", backbone.model, deepcopy(modules).half())
    with safe_open(tmp_path / "half" / "model.safetensors", "pt") as tensors:
        assert tensors.get_tensor("visor.blocks.2.q_proj.weight").dtype == torch.float16
    assert load_visor(tmp_path / "half", backbone.model).blocks["2"].q_proj.weight.dtype == torch.float32


def test_transformers_loads_the_folder_as_the_dense_model(folder, backbone):
    stock = LlavaOnevisionForConditionalGeneration.from_pretrained(folder)
    for name, tensor in backbone.model.state_dict().items():
        assert torch.equal(stock.state_dict()[name], tensor), name


def test_no_pickle_is_written_and_none_is_read(folder, tmp_path):
    assert {file.suffix for file in folder.iterdir()} <= {".json", ".safetensors", ".jinja"}
    only_pickle = edited(folder, tmp_path)
    (only_pickle / "model.safetensors").rename(only_pickle / "pytorch_model.bin")
    with pytest.raises(SetupError, match="safetensors"):
        load_backbone(only_pickle)


def test_hash_follows_the_weights(folder, tmp_path):
    copy = edited(folder, tmp_path)
    before = weights_hash(copy)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert weights_hash(copy) != before


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        *[(name, True) for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")],
        *[(name, True) for name in ("generation_config.json", "processor_config.json", "preprocessor_config.json")],
        *[(name, False) for name in ("card.json", "README.md", "config.json", "model.safetensors")],
    ],
)
def test_the_processors_hash_follows_its_files_alone(folder, tmp_path, file, counts):
    """Changed or new ones; the weights' own hash stays."""
    copy = edited(folder, tmp_path)
    before, weights = processor_hash(copy), weights_hash(copy)
    path = copy / file
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b" ")
    assert (processor_hash(copy) != before) is counts
    assert (weights_hash(copy) == weights) is (file not in ("config.json", "model.safetensors"))


def test_stock_weights_name_visor_zero(backbone, tmp_path):
    backbone.model.save_pretrained(tmp_path / "stock")
    with pytest.raises(SetupError, match="visor-zero"):
        load_visor(tmp_path / "stock", backbone.model)


def test_damaged_weights(folder, backbone, tmp_path):
    copy = edited(folder, tmp_path)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SetupError, match="damaged"):
        load_visor(copy, backbone.model)
    with pytest.raises(SetupError, match="cannot be loaded"):
        load_backbone(copy)


def test_weights_that_do_not_fit_the_config(folder, backbone, modules, tmp_path):
    copy = edited(folder, tmp_path, visor={**modules.config.to_dict(), "conv_kernel": 5})
    with pytest.raises(SetupError, match="do not fit"):
        load_visor(copy, backbone.model)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"schema_version": 99}, "schema version 99"), ({"blocks": 3}, "unknown keys"), ({"read_layers": [4]}, "both")],
)
def test_config_errors(modules, change, message):
    with pytest.raises(SetupError, match=message):
        VisorConfig.from_dict({**modules.config.to_dict(), **change})


def test_other_architectures_are_refused(folder, tmp_path):
    with pytest.raises(SetupError, match="supported architectures: llava_onevision"):
        load_backbone(edited(folder, tmp_path, model_type="llama"))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "no such name"])
def test_missing_checkpoints(name):
    with pytest.raises(SetupError, match="--pretrained"):
        checkpoint_folder(name)


def test_empty_folder(tmp_path):
    with pytest.raises(SetupError, match=r"no config\.json"):
        checkpoint_folder(tmp_path)


def test_unusable_device_and_dtype(folder):
    with pytest.raises(SetupError, match="try --device cpu"):
        load_backbone(folder, device="cuda:77")
    with pytest.raises(SetupError, match="float32, bfloat16, float16"):
        load_backbone(folder, dtype="int3")


def test_configurations_as_text(modules):
    assert fixed_configuration("4,1", modules.config) == (1, 4)
    assert fixed_configuration("[1, 7]", modules.config) == (1, 7)
    assert fixed_configuration("none", modules.config) == ()
    assert fixed_configuration("largest", modules.config) == (1, 4, 7, 10, 16, 19, 22)
    with pytest.raises(SetupError, match=r"layers \[2\]"):
        fixed_configuration("1,2", modules.config)
    with pytest.raises(SetupError, match="unknown configuration 'one'"):
        fixed_configuration("one", modules.config)


def test_bfloat16_runs(folder):
    engine = build_visor(load_backbone(folder, dtype="bfloat16"), folder, config="1,4")
    answer = engine.answer([Request(images=(picture(56, 56),), prompt="what", max_new_tokens=3)])[0]
    assert 1 <= len(answer.token_ids) <= 3
