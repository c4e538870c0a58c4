"""Read the plain-number shapes of a checkpoint off its config."""

from typing import TYPE_CHECKING

from visor_eval.cost.shapes import BackboneShape, DecoderShape, ProjectorShape, TowerShape, VisorShape

if TYPE_CHECKING:
    from transformers import LlavaOnevisionConfig


def backbone_shape(config: "LlavaOnevisionConfig", name: str, visor: VisorShape | None = None) -> BackboneShape:
    """Shapes of a LLaVA-OneVision model, counted as it is executed (unused tower layers are left out)."""
    text, vision = config.text_config, config.vision_config
    layer = config.vision_feature_layer
    return BackboneShape(
        name=name,
        decoder=DecoderShape(
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            heads=text.num_attention_heads,
            kv_heads=text.num_key_value_heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
            intermediate=text.intermediate_size,
            vocab=text.vocab_size,
        ),
        tower=TowerShape(
            layers=layer if layer >= 0 else vision.num_hidden_layers + 1 + layer,
            hidden=vision.hidden_size,
            heads=vision.num_attention_heads,
            intermediate=vision.intermediate_size,
            patch_px=vision.patch_size,
            tile_px=vision.image_size,
            channels=vision.num_channels,
        ),
        projector=ProjectorShape(inputs=vision.hidden_size, hidden=text.hidden_size, outputs=text.hidden_size),
        visor=visor,
    )
