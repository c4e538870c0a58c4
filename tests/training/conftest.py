"""A tiny model of the embedded family's shape, shared by the training tests."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.training.family import FamilyShape, build_config, build_model, build_processor, save_folder
from visor_eval.training.recipes import FOUNDATION, LANGUAGE
from visor_eval.training.tokenizer import build_tokenizer
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_tasks.mini import PHRASES, WORDS

TASKS = ("gqa", "textvqa_val")
SHORT = {"steps": 2, "images": 2, "questions": 2, "compiled": False, "bfloat16": False, "evaluation_images": 1}
TINY = FamilyShape(hidden=32, layers=6, intermediate=48, tower_hidden=32, tower_intermediate=48)


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(PHRASES, WORDS)


@pytest.fixture(scope="session")
def processor(tokenizer):
    return build_processor(tokenizer)


@pytest.fixture
def model(tokenizer):
    return build_model(tokenizer, TINY, seed=1)


@pytest.fixture
def grouped(tokenizer):
    """4 query heads of an unusual width on 2 key heads."""
    config = build_config(tokenizer, TINY)
    config.text_config.num_attention_heads, config.text_config.num_key_value_heads = 4, 2
    config.text_config.head_dim = 12
    torch.manual_seed(2)
    model = LlavaOnevisionForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter.shape[-1] ** -0.5)
            elif "norm" not in name:
                parameter.normal_(0, 0.1)
    return model.train()


@pytest.fixture
def visor(model):
    """VISOR modules that do something: gates open, convolution not zero."""
    return open_modules(model)


def open_modules(model):
    """Blocks behind layers 2 and 5 with open gates and a convolution that is not zero."""
    torch.manual_seed(0)
    config = VisorConfig(candidates=(1, 4), read_layers=(2, 5), configurations=((1,), (1, 4)))
    modules = VisorModules(config, model.config.text_config)
    modules.initialise_from(model.model.language_model)
    with torch.no_grad():
        for block in modules.blocks.values():
            block.gate.fill_(0.7)
            block.conv.weight.normal_(std=0.3)
            block.conv.bias.normal_(std=0.1)
    return modules


def short(name, **changes):
    """A stage of the family in two tiny steps."""
    fixed = {**SHORT, "kept": (1,) if name == "base" else ()}
    return replace(LANGUAGE[name], **{**fixed, **changes})


@pytest.fixture
def work(tmp_path, tokenizer, processor):
    """A work folder with an untrained foundation."""
    save_folder(build_model(tokenizer, TINY, seed=1), processor, tmp_path / FOUNDATION)
    report = {"recipe": {}, "steps": 10, "seconds": 1.0}
    (tmp_path / FOUNDATION / "report.json").write_text(json.dumps(report))
    return tmp_path
