"""A prompt about a random image of a given number of tiles, and the shapes that benchmarks run it on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from visor_eval.cost import backbone
from visor_eval.cost.shapes import BackboneShape, DecoderShape, ProjectorShape, TowerShape
from visor_eval.models.encoded import TiledImage
from visor_eval.models.llava_onevision import LlavaOnevision

FULL = backbone("llava-ov-0.5b")
NARROW = BackboneShape(  # the same depth and token counts, to try a benchmark in seconds
    name="narrow",
    decoder=DecoderShape(layers=24, hidden=32, heads=4, kv_heads=2, head_dim=8, intermediate=48, vocab=64),
    tower=TowerShape(layers=3, hidden=32, heads=4, intermediate=32, patch_px=14, tile_px=384),
    projector=ProjectorShape(inputs=32, hidden=32, outputs=32),
)
GRIDS = {1: None, 2: (1, 1), 5: (2, 2), 10: (3, 3)}  # tiles of an image -> its canvas; 1: as in multi-image samples
BEFORE, BEHIND = 14, 18  # text tokens before and behind the image


@dataclass(frozen=True)
class Question:
    """What one forward pass runs on."""

    image: TiledImage
    token_ids: Tensor  # one placeholder for the image [n]


def question(model: LlavaOnevision, tiles: int) -> Question:
    """Noise of ``tiles`` tiles between two pieces of text.

    Raises:
        ValueError: no square canvas has so many tiles.
    """
    if tiles not in GRIDS:
        raise ValueError(f"{tiles} tiles: {', '.join(map(str, GRIDS))} are known")
    grid, side = GRIDS[tiles], model.anyres.tile_px
    size = (side, side) if grid is None else (grid[0] * side, grid[1] * side)
    assert grid is None or model.anyres.count(*size).grid == grid
    generator = torch.Generator().manual_seed(tiles)
    pixels = torch.randn(tiles, 3, side, side, generator=generator).clamp(-1, 1)
    ids = torch.randint(
        model.shape.decoder.vocab - 2, (BEFORE + 1 + BEHIND,), generator=generator
    )  # the last are media
    ids[BEFORE] = model.model.config.image_token_id
    device = model.model.device
    return Question(TiledImage(pixels=pixels.to(device), size=size, grid=grid), ids.to(device))
