"""A model of any shape with random weights: what it says is noise, what it costs is real."""

from dataclasses import replace

import torch
from torch import nn
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

from visor_eval.cost.shapes import BackboneShape, ProjectorShape
from visor_eval.errors import SetupError
from visor_eval.models.configs import text_config
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.shapes import decoder_config, tower_config
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules

NOISE = 1 << 20  # numbers drawn; larger weights repeat them
STD = 0.02
MOST_TILES = 6  # rows and columns of the largest canvas, as in LLaVA-OneVision


def random_backbone(
    shape: BackboneShape, *, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> LlavaOnevision:
    """A LLaVA-OneVision of ``shape``, without a processor: it takes token ids and pixels.

    Raises:
        SetupError: the shape has no tower or projector of this family.
    """
    config = _config(shape)
    with torch.device("meta"):
        model = LlavaOnevisionForConditionalGeneration(config)
    rotary = type(model.model.language_model.rotary_emb)(text_config(config))  # its buffers are computed, not loaded
    model = model.to(dtype).to_empty(device=device)  # type: ignore[arg-type]
    model.model.language_model.rotary_emb = rotary.to(device)
    _number_positions(model)
    model.tie_weights()
    _fill(model, seed)
    return LlavaOnevision(model.eval().requires_grad_(False))


def random_visor(backbone: LlavaOnevision, seed: int = 1) -> VisorModules:
    """VISOR's default blocks for ``backbone``, gates open; no router."""
    text = text_config(backbone.model.config)
    with torch.device("meta"):
        modules = VisorModules(VisorConfig.for_layers(text.num_hidden_layers), text)
    modules = modules.to(backbone.model.dtype).to_empty(device=backbone.model.device)
    _fill(modules, seed)
    return modules.eval().requires_grad_(False)


def shallower(shape: BackboneShape, *, layers: int | None = None, tower_layers: int | None = None) -> BackboneShape:
    """``shape`` with fewer layers: for quick looks, and where the tower is not what is measured."""
    if layers is not None:
        shape = replace(shape, decoder=replace(shape.decoder, layers=layers))
    if tower_layers is not None and shape.tower is not None:
        shape = replace(shape, tower=replace(shape.tower, layers=tower_layers))
    return shape


def _config(shape: BackboneShape) -> LlavaOnevisionConfig:
    decoder, tower = shape.decoder, shape.tower
    expected = (
        None if tower is None else ProjectorShape(inputs=tower.hidden, hidden=decoder.hidden, outputs=decoder.hidden)
    )
    if tower is None or shape.projector != expected:
        raise SetupError(f"{shape.name} cannot be built with random weights: only LLaVA-OneVision shapes can")
    steps = range(1, MOST_TILES + 1)
    config = LlavaOnevisionConfig(
        vision_config=tower_config(tower),
        text_config=decoder_config(
            decoder, max_position_embeddings=32_768, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None
        ),
        image_token_index=decoder.vocab - 1,
        video_token_index=decoder.vocab - 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[tower.tile_px * rows, tower.tile_px * columns] for rows in steps for columns in steps],
        tie_word_embeddings=True,
    )
    config._attn_implementation = "sdpa"
    return config


def _number_positions(model: nn.Module) -> None:
    """Buffers of position ids, which ``to_empty`` leaves without content."""
    for name, buffer in model.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1]))


@torch.no_grad()
def _fill(module: nn.Module, seed: int) -> None:
    """Norms and gates 1, everything else small noise (drawn once and repeated: filling is fast at any size)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NOISE, generator=generator) * STD
    for name, parameter in module.named_parameters():
        if ("norm" in name and name.endswith("weight")) or name.endswith("gate"):
            parameter.fill_(1.0)
            continue
        flat = parameter.view(-1)
        for start in range(0, flat.numel(), NOISE):
            piece = flat[start : start + NOISE]
            piece.copy_(noise[: piece.numel()])
