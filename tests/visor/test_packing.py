"""VISOR-TR's token packing."""

import pytest
import torch

from visor_eval.core.tokens import VisionTokens
from visor_eval.errors import SetupError
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.packing import TokenPacking, packers


def tokens(side: int, tiles: int = 3, dim: int = 5) -> VisionTokens:
    torch.manual_seed(0)
    return VisionTokens(
        features=torch.randn(tiles, side * side, dim), tile_shape=(side, side), grid=(1, 2), image_size=(side, 2 * side)
    )


@pytest.mark.parametrize(("factor", "side", "expected"), [(2, 27, 19), (4, 27, 14), (2, 7, 5), (4, 7, 4), (1, 27, 27)])
def test_sides(factor, side, expected):
    packed = TokenPacking(factor=factor).reduce(tokens(side))
    assert packed.tile_shape == (expected, expected)
    assert packed.features.shape == (3, expected**2, 5)


def test_values_are_bilinear_and_order_is_raster():
    ramp = torch.arange(27.0).repeat(27, 1)  # grows along columns only
    packed = TokenPacking(factor=2).reduce(
        VisionTokens(features=ramp.reshape(1, -1, 1), tile_shape=(27, 27), grid=None, image_size=(1, 1))
    )
    row = packed.features.reshape(19, 19)
    assert torch.allclose(row, row[:1].expand(19, 19))
    centres = (torch.arange(19) + 0.5) * 27 / 19 - 0.5
    assert torch.allclose(row[0], centres, atol=1e-4)


def test_space_to_depth_widens():
    packed = TokenPacking(factor=2, mode="space_to_depth").reduce(tokens(27))
    assert packed.features.shape == (3, 19 * 19, 20)


def test_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        TokenPacking(factor=0.5)


def test_a_checkpoint_keeps_the_packing_it_was_trained_with():
    plain, packed = VisorConfig.for_layers(24), VisorConfig.for_layers(24, packing=4.0)
    assert packers(plain) == ()
    assert [packer.factor for packer in packers(plain, 2.0)] == [2.0]
    assert [packer.factor for packer in packers(packed)] == [packer.factor for packer in packers(packed, 4.0)] == [4.0]
    with pytest.raises(SetupError, match="leave factor=2 out"):
        packers(packed, 2.0)
