"""The embedded family's architecture and processor, built offline from stock transformers classes."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from visor_eval.training.tokenizer import CHAT_TEMPLATE, END, IMAGE, PAD, VIDEO, token_id

TILE = 56  # pixels
PATCH = 8  # pixels
SIDE = TILE // PATCH  # patches per tile side
PINPOINTS = [[TILE * rows, TILE * columns] for rows in range(1, 7) for columns in range(1, 7)]
ASPECT = "anyres_max_9"


@dataclass(frozen=True, kw_only=True)
class FamilyShape:
    """Widths and depths of one embedded model."""

    hidden: int = 96
    layers: int = 24
    heads: int = 2
    intermediate: int = 192
    tower_hidden: int = 96
    tower_layers: int = 2
    tower_heads: int = 2
    tower_intermediate: int = 192
    rope_theta: float = 10_000.0
    embedding_std: float = 0.2


def build_config(tokenizer: PreTrainedTokenizerFast, shape: FamilyShape) -> LlavaOnevisionConfig:
    """The LLaVA-OneVision config of an embedded model for ``tokenizer``'s vocabulary."""
    vision = SiglipVisionConfig(
        hidden_size=shape.tower_hidden,
        intermediate_size=shape.tower_intermediate,
        num_hidden_layers=shape.tower_layers,
        num_attention_heads=shape.tower_heads,
        image_size=TILE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, END),
        pad_token_id=token_id(tokenizer, PAD),
    )
    return LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=token_id(tokenizer, IMAGE),
        video_token_index=token_id(tokenizer, VIDEO),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=ASPECT,
        image_grid_pinpoints=PINPOINTS,
        tie_word_embeddings=True,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionProcessor:
    """The stock processor: AnyRes tiles of 56 x 56 px, pixels scaled to [-1, 1]."""
    half = [0.5, 0.5, 0.5]
    images = LlavaOnevisionImageProcessor(
        size={"height": TILE, "width": TILE}, image_grid_pinpoints=PINPOINTS, image_mean=half, image_std=half
    )
    videos = LlavaOnevisionVideoProcessor(size={"height": TILE, "width": TILE}, image_mean=half, image_std=half)
    return LlavaOnevisionProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        video_processor=videos,
        num_image_tokens=SIDE * SIDE,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=ASPECT,
        chat_template=CHAT_TEMPLATE,
    )


@torch.no_grad()
def build_model(
    tokenizer: PreTrainedTokenizerFast, shape: FamilyShape | None = None, seed: int = 0
) -> LlavaOnevisionForConditionalGeneration:
    """A randomly initialised model, the same for the same seed; vision positions start factorised (row + column)."""
    shape = shape or FamilyShape()
    generator = torch.Generator().manual_seed(seed)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(build_config(tokenizer, shape))
    torch.random.set_rng_state(state)
    decoder = model.model.language_model
    nn.init.normal_(decoder.embed_tokens.weight, std=shape.embedding_std, generator=generator)
    nn.init.normal_(model.model.image_newline, std=shape.embedding_std, generator=generator)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            std = module.in_features**-0.5
            if name.endswith(("o_proj", "down_proj")):  # residual branches start small against the embeddings
                std *= shape.embedding_std / math.sqrt(2 * shape.layers)
            nn.init.normal_(module.weight, std=std, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in decoder.layers:  # similar things attend to each other from the start
        layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    embeddings = model.model.vision_tower.embeddings
    nn.init.normal_(embeddings.patch_embedding.weight, std=(3 * PATCH * PATCH) ** -0.5, generator=generator)
    nn.init.zeros_(embeddings.patch_embedding.bias)
    embeddings.position_embedding.weight.copy_(factorised_positions(shape.tower_hidden, generator))
    return model.train()


def factorised_positions(width: int, generator: torch.Generator, std: float = 0.5) -> torch.Tensor:
    """One vector per patch of a tile, the sum of a row vector and a column vector [patches, width]."""
    rows = torch.randn(SIDE, 1, width, generator=generator)
    columns = torch.randn(1, SIDE, width, generator=generator)
    return (rows + columns).mul(std / math.sqrt(2)).reshape(SIDE * SIDE, width)


def save_folder(
    model: LlavaOnevisionForConditionalGeneration, processor: LlavaOnevisionProcessor, folder: Path
) -> None:
    """Write a stock checkpoint folder (safetensors, config, processor, tokenizer)."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
