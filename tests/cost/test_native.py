"""Qwen2-VL's tower, merger and token counts equal transformers' own."""

import random
from dataclasses import replace

import pytest
import torch

from tests.cost.dispatched import count
from visor_eval.cost import DecoderShape, NativeResolution, NativeTowerShape, ProjectorShape, backbone
from visor_eval.cost.flops import native_tower_flops, projector_flops


def test_grids_equal_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    chance, rule = random.Random(7), NativeResolution()
    small = NativeResolution(max_pixels=200_000)
    for _ in range(3_000):
        height, width = (round(10 ** chance.uniform(0.5, 4)) for _ in range(2))
        if max(height, width) > 200 * min(height, width):
            continue
        for each in (rule, small):
            tall, wide = smart_resize(height, width, 28, each.min_pixels, each.max_pixels)
            assert each.grid(height, width) == (tall // 28, wide // 28)


def test_sizes_that_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 200 times the other"):
        NativeResolution().grid(10, 2_001)
    with pytest.raises(ValueError, match="must be positive"):
        NativeResolution().grid(0, 5)


@pytest.mark.parametrize("grid", [(1, 1), (3, 5)], ids=str)
def test_tower_and_merger_equal_dispatched(grid: tuple[int, int]) -> None:
    small = NativeTowerShape(layers=2, hidden=48, heads=4, intermediate=96, patch_px=14, merge=2)
    check_tower(small, outputs=40, grid=grid)


def test_full_width_tower_and_merger() -> None:
    """One layer of the real widths: rotary positions keep the whole model off the meta device."""
    shape = backbone("qwen2-vl-2b")
    assert shape.native_tower is not None
    check_tower(replace(shape.native_tower, layers=1), outputs=shape.decoder.hidden, grid=(4, 7))


def check_tower(tower: NativeTowerShape, *, outputs: int, grid: tuple[int, int]) -> None:
    from transformers import Qwen2VLConfig
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

    config = Qwen2VLConfig(
        vision_config={
            "depth": tower.layers,
            "embed_dim": tower.hidden,
            "num_heads": tower.heads,
            "mlp_ratio": tower.intermediate // tower.hidden,
            "hidden_size": outputs,
            "patch_size": tower.patch_px,
            "spatial_merge_size": tower.merge,
            "temporal_patch_size": tower.frames,
        }
    ).vision_config
    config._attn_implementation = "sdpa"
    model = Qwen2VisionTransformerPretrainedModel(config).eval()
    tokens = grid[0] * grid[1]
    width = tower.channels * tower.frames * tower.patch_px**2
    patches = torch.zeros(tokens * tower.merge**2, width)
    layout = torch.tensor([[1, grid[0] * tower.merge, grid[1] * tower.merge]])
    merged = tower.hidden * tower.merge**2
    merger = projector_flops(ProjectorShape(inputs=merged, hidden=merged, outputs=outputs), tokens)
    assert native_tower_flops(tower, tokens) + merger == count(lambda: model(patches, layout))


def test_the_decoder_is_the_one_of_qwen2() -> None:
    """Qwen/Qwen2-VL-2B-Instruct, config.json."""
    assert backbone("qwen2-vl-2b").decoder == DecoderShape(
        layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151_936
    )
