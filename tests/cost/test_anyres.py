"""Tiles and vision tokens from image sizes equal transformers' own arithmetic."""

import random
from types import SimpleNamespace

import pytest

from visor_eval.cost import AnyRes

EMBEDDED = AnyRes.square_grid(56, 7, most=3)


@pytest.mark.parametrize(
    ("height", "width", "tokens"), [(56, 56, 49 + 49 + 7), (112, 112, 49 + 196 + 14), (56, 112, 154)]
)
def test_the_embedded_family(height: int, width: int, tokens: int) -> None:
    assert EMBEDDED.count(height, width).vision_tokens == tokens


def test_llava_onevision() -> None:
    rule = AnyRes.square_grid(384, 27)
    small = rule.count(384, 384)
    assert (small.tiles, small.vision_tokens, small.shrunk) == (2, 729 + 729 + 27, False)
    large = rule.count(2304, 2304)
    assert (large.tiles, large.grid, large.shrunk) == (37, (6, 6), True)
    assert large.vision_tokens == 729 + 81 * 81 + 81
    assert rule.count(384, 384, newlines=False).vision_tokens == 2 * 729
    assert rule.count(384, 500, unpad=False).columns == 54


@pytest.mark.parametrize(
    ("tile", "side", "most", "max_tiles"),
    [(384, 27, 6, 9), (56, 7, 4, 9), (56, 7, 3, 2), (30, 5, 5, 4), (224, 16, 6, 9)],
)
def test_equal_to_transformers(tile: int, side: int, most: int, max_tiles: int) -> None:
    from transformers.models.llava_onevision import modeling_llava_onevision as modeling
    from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

    chance = random.Random(tile + max_tiles)
    rule = AnyRes.square_grid(tile, side, most=most, max_tiles=max_tiles)
    if most == 5:  # any subset of canvases, any order
        rule = AnyRes(tile, side, tuple(chance.sample(rule.pinpoints, 9)), max_tiles)
    pinpoints = [list(size) for size in rule.pinpoints]
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=pinpoints),
        num_image_tokens=side**2,
        vision_aspect_ratio=f"anyres_max_{max_tiles}",
    )
    processor._get_unpadded_features = lambda *args: LlavaOnevisionProcessor._get_unpadded_features(processor, *args)
    for _ in range(1500):
        most_px = chance.choice((tile, 3 * tile, 12 * tile))
        height, width = chance.randint(1, most_px), chance.randint(1, most_px)
        count = rule.count(height, width)
        expected = LlavaOnevisionProcessor._get_number_of_features(processor, height, width, tile, tile)
        assert count.vision_tokens == expected, (height, width)
        assert count.tiles == modeling.image_size_to_num_patches((height, width), pinpoints, tile), (height, width)


def test_equal_to_the_model_packing() -> None:
    """The processor counts; the model packs tensors: both must give what we give."""
    import torch
    from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel

    rule = AnyRes.square_grid(56, 7, most=3, max_tiles=2)
    config = SimpleNamespace(
        vision_config=SimpleNamespace(image_size=56, patch_size=8),
        image_grid_pinpoints=[list(p) for p in rule.pinpoints],
    )
    chance = random.Random(0)
    for _ in range(150):
        height, width = chance.randint(10, 400), chance.randint(10, 400)
        count = rule.count(height, width)
        packed, lengths = LlavaOnevisionModel.pack_image_features(
            SimpleNamespace(config=config),
            [torch.zeros(count.tiles, 49, 4)],
            [(height, width)],
            image_newline=torch.zeros(4),
            vision_aspect_ratio="anyres_max_2",
        )
        assert len(packed[0]) == int(lengths[0]) == count.vision_tokens, (height, width)


def test_errors() -> None:
    with pytest.raises(ValueError, match="image size must be positive"):
        EMBEDDED.count(0, 5)
    with pytest.raises(ValueError, match="at least one canvas"):
        AnyRes(56, 7, ())
    with pytest.raises(ValueError, match="smaller than a tile"):
        AnyRes(56, 7, ((56, 40),))
