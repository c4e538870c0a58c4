"""The parts of a LLaVA-OneVision config, with their types (transformers declares them as unions)."""

from typing import cast

from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig


def text_config(config: LlavaOnevisionConfig) -> Qwen2Config:
    """The decoder's config."""
    return cast("Qwen2Config", config.text_config)


def vision_config(config: LlavaOnevisionConfig) -> SiglipVisionConfig:
    """The vision tower's config."""
    return cast("SiglipVisionConfig", config.vision_config)


def head_dim(config: Qwen2Config) -> int:
    """Width of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def kv_heads(config: Qwen2Config) -> int:
    """Key (and value) heads."""
    return config.num_key_value_heads or config.num_attention_heads


def used_blocks(config: LlavaOnevisionConfig) -> int:
    """Tower blocks up to the one whose output feeds the projector; hidden state 0 is the embedding."""
    layer = cast("int", config.vision_feature_layer)
    return layer if layer >= 0 else vision_config(config).num_hidden_layers + 1 + layer
