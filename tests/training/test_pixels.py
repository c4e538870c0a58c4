"""The training preprocessing equals the stock processor and the model's own packing."""

import numpy as np
import pytest
import torch
from PIL import Image

from visor_eval.training.packed import PackedBatch, PackedModel
from visor_eval.training.pixels import tiles, vision_length

SIZES = [(56, 56), (112, 112), (56, 112), (112, 56), (112, 168)]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_equal_the_processor(processor, size):
    image = picture(*size)
    ours = tiles(torch.from_numpy(image).permute(2, 0, 1)[None].contiguous())
    theirs = processor.image_processor(Image.fromarray(image), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_vision_tokens_equal_the_model(processor, model, size):
    image = picture(*size, seed=1)
    inputs = processor.image_processor(Image.fromarray(image), return_tensors="pt")
    with torch.no_grad():
        theirs = model.model.get_image_features(**inputs).pooler_output[0]
        batch = PackedBatch(
            pixels=inputs["pixel_values"],
            rows=size[0] // 56,
            columns=size[1] // 56,
            tokens=torch.zeros(1, 1, 2, dtype=torch.long),
            labels=torch.zeros(1, 1, 2, dtype=torch.long),
        )
        ours = PackedModel(model).vision_tokens(batch)[0]
    assert len(ours) == vision_length(*size)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="multiples of 56"):
        tiles(torch.zeros(1, 3, 60, 56, dtype=torch.uint8))
