"""A tiny random LLaVA-OneVision with grouped-query attention, built offline: no download in any test."""

import numpy as np
import pytest
import torch
from PIL import Image

from visor_eval.models.engine import Request
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.shapes import backbone_shape
from visor_eval.training.family import FamilyShape, build_config, build_processor
from visor_eval.training.tokenizer import build_tokenizer

WORDS = ("what", "is", "the", "colour", "of", "red", "blue", "circle", "there", "how", "many")


def random_backbone(layers: int = 24, seed: int = 0, **text: int) -> LlavaOnevision:
    """4 query heads on 2 key heads, untied head: every answer token differs, so that texts can be compared."""
    from transformers import LlavaOnevisionForConditionalGeneration

    tokenizer = build_tokenizer((), WORDS)
    config = build_config(
        tokenizer, FamilyShape(hidden=32, intermediate=48, layers=layers, tower_hidden=24, tower_intermediate=32)
    )
    config.text_config.num_attention_heads = 4
    config.text_config.num_key_value_heads = 2
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    for name, value in text.items():
        setattr(config.text_config, name, value)
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.6 * parameter.shape[-1] ** -0.5 if "embed" not in name else 1.0)
            elif "norm" not in name:
                parameter.normal_(0, 0.1)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    return LlavaOnevision(model.eval().requires_grad_(False), build_processor(tokenizer))


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Noise of the given size in pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever ``-m`` says, tests marked ``gpu`` skip where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def backbone() -> LlavaOnevision:
    """The tiny random model, 24 layers."""
    return random_backbone()


@pytest.fixture(scope="session")
def shape(backbone):
    """Its shapes."""
    return backbone_shape(backbone.model.config, "random")


@pytest.fixture
def requests() -> list[Request]:
    """Mixed sizes: one tile, wide, tall, padded, above the shrink threshold, two images, none."""
    sizes = [(56, 56), (56, 112), (112, 112), (90, 40), (30, 200), (640, 600)]
    single = [
        Request(images=(picture(*size, seed=i),), prompt=f"what is the colour of {'red ' * i}circle", max_new_tokens=6)
        for i, size in enumerate(sizes)
    ]
    two = Request(images=(picture(70, 60, 8), picture(56, 90, 9)), prompt="how many", max_new_tokens=6)
    none = Request(images=(), prompt="is there blue", max_new_tokens=6)
    return [*single, two, none]
