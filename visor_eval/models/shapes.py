"""Between the plain-number shapes of a model and the configs of transformers, in both directions."""

from transformers import LlavaOnevisionConfig, Qwen2Config, SiglipVisionConfig

from visor_eval.cost.shapes import BackboneShape, DecoderShape, ProjectorShape, TowerShape, VisorShape
from visor_eval.models.configs import head_dim, kv_heads, text_config, used_blocks, vision_config


def decoder_shape(text: Qwen2Config) -> DecoderShape:
    """Shape of the language model."""
    return DecoderShape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=kv_heads(text),
        head_dim=head_dim(text),
        intermediate=text.intermediate_size,
        vocab=text.vocab_size,
    )


def backbone_shape(config: LlavaOnevisionConfig, name: str, visor: VisorShape | None = None) -> BackboneShape:
    """Shapes of a LLaVA-OneVision model, counted as it is executed (unused tower layers are left out)."""
    text, vision = text_config(config), vision_config(config)
    return BackboneShape(
        name=name,
        decoder=decoder_shape(text),
        tower=TowerShape(
            layers=used_blocks(config),
            hidden=vision.hidden_size,
            heads=vision.num_attention_heads,
            intermediate=vision.intermediate_size,
            patch_px=int(vision.patch_size),  # type: ignore[arg-type]
            tile_px=int(vision.image_size),  # type: ignore[arg-type]
            channels=vision.num_channels,
        ),
        projector=ProjectorShape(inputs=vision.hidden_size, hidden=text.hidden_size, outputs=text.hidden_size),
        visor=visor,
    )


def decoder_config(decoder: DecoderShape, **others: object) -> Qwen2Config:
    """A language model of that shape, on SDPA; ``others`` are further settings of the config."""
    return Qwen2Config(
        vocab_size=decoder.vocab,
        hidden_size=decoder.hidden,
        intermediate_size=decoder.intermediate,
        num_hidden_layers=decoder.layers,
        num_attention_heads=decoder.heads,
        num_key_value_heads=decoder.kv_heads,
        head_dim=decoder.head_dim,  # type: ignore[call-arg]
        attn_implementation="sdpa",  # type: ignore[call-arg]
        **others,  # type: ignore[arg-type]
    )


def tower_config(tower: TowerShape) -> SiglipVisionConfig:
    """A vision tower of that shape, on SDPA."""
    return SiglipVisionConfig(
        hidden_size=tower.hidden,
        intermediate_size=tower.intermediate,
        num_hidden_layers=tower.layers,
        num_attention_heads=tower.heads,
        num_channels=tower.channels,
        image_size=tower.tile_px,
        patch_size=tower.patch_px,
        vision_use_head=False,
        attn_implementation="sdpa",  # type: ignore[call-arg]
    )
