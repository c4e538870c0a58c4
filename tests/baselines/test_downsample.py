import numpy as np
import pytest
import torch
from PIL import Image

from tests.baselines.vectors import golden_cases, random_tokens
from visor_baselines.downsample import Downsample
from visor_baselines.downsample_image import DownsampleImage


@golden_cases("downsample")
def test_image_level_equals_the_authors_resize(golden):
    image = Image.fromarray(golden["image_hwc_uint8"].numpy())
    out = DownsampleImage(ratio=golden.params["ratio"]).prepare(image)
    assert np.array_equal(np.asarray(out), golden["downsampled_hwc_uint8"].numpy())


def test_image_level_leaves_tokens_alone_and_refuses_what_cannot_be():
    tokens = random_tokens()
    assert DownsampleImage().reduce(tokens) is tokens
    with pytest.raises(ValueError, match="3 x 90"):
        DownsampleImage(ratio=4).prepare(Image.new("RGB", (3, 90)))
    for ratio in (0, 1.5):
        with pytest.raises(ValueError, match="at least 1"):
            DownsampleImage(ratio=ratio)
    assert DownsampleImage().prepare(Image.new("P", (4, 4))).mode == "RGB"


def test_27x27_becomes_13x14():
    """Against bilinear interpolation by hand: half-pixel centres, no antialiasing, edges repeated."""
    tokens = random_tokens((1, 2), dim=3)
    out = Downsample().reduce(tokens)
    assert out.tile_shape == (13, 14)
    grid = tokens.features.view(3, 27, 27, 3).double()

    def line(count):
        centre = ((torch.arange(count) + 0.5) * 27 / count - 0.5).clamp(0, 26).double()
        low = centre.floor().long()
        return low, (low + 1).clamp(max=26), centre - low

    (top, bottom, down), (left, right, along) = line(13), line(14)
    down, along = down[:, None, None], along[None, :, None]
    upper = grid[:, top][:, :, left] * (1 - along) + grid[:, top][:, :, right] * along
    lower = grid[:, bottom][:, :, left] * (1 - along) + grid[:, bottom][:, :, right] * along
    expected = (upper * (1 - down) + lower * down).flatten(1, 2).float()
    torch.testing.assert_close(out.features, expected, atol=1e-5, rtol=0)


def test_other_tiles_and_factors():
    tokens = random_tokens((1, 2), (7, 7))
    assert Downsample().reduce(tokens).tile_shape == (3, 4)
    assert torch.equal(Downsample(factor=1).reduce(tokens).features, tokens.features)
    with pytest.raises(ValueError, match="at least 1"):
        Downsample(factor=0)
