"""The methods before the decoder on the tiny random model, from pixels to sequences."""

import copy

import pytest
import torch
from PIL import Image

from tests.baselines.test_reducers import DEFAULTS, each
from tests.conftest import picture
from visor_baselines.downsample import Downsample
from visor_baselines.downsample_image import DownsampleImage
from visor_baselines.hired import HiRED
from visor_baselines.m3 import M3
from visor_baselines.random_keep import RandomKeep
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner
from visor_eval.models.layout import Layout
from visor_eval.models.reduction import Reduction

SIZES = [(56, 56), (56, 112), (112, 112), (90, 40), (30, 200)]
SAMPLES = [*[[picture(*size, seed=i)] for i, size in enumerate(SIZES)], [picture(70, 60, 8), picture(56, 90, 9)], []]
KEEP_ALL = [
    VisionZip(dominant=49),
    VisPruner(important=49),
    VisPruner(important=0, diverse=49),
    HiRED(rate=1),
    M3(factor=1),
    M3(factor=1, after_projector=False),
    Downsample(factor=1),
    DownsampleImage(ratio=1),
    RandomKeep(tokens=49),
]


def encode(backbone, samples, *reducers, layout=None):
    reduction = Reduction(reducers) if layout is None else Reduction(reducers, layout)
    samples = [[reduction.prepare(image) for image in sample] for sample in samples]
    with torch.inference_mode():
        return backbone.encode(backbone.tile(samples), reduction)


def sequences(backbone, samples, *reducers, **settings):
    encoded = encode(backbone, samples, *reducers, **settings)
    return [sample.sequences for sample in encoded]


@each(KEEP_ALL)
def test_keeping_all_is_dense(backbone, method):
    for dense, kept in zip(sequences(backbone, SAMPLES), sequences(backbone, SAMPLES, method), strict=True):
        assert len(dense) == len(kept)
        for one, other in zip(dense, kept, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@each(DEFAULTS)
def test_a_batch_equals_one_by_one(backbone, method):
    together = sequences(backbone, SAMPLES, method)
    for sample, expected in zip(SAMPLES, together, strict=True):
        (alone,) = sequences(backbone, [sample], method)
        for one, other in zip(alone, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("method", "per_tile"), [(VisionZip(), 9), (VisPruner(), 8), (M3(), 6), (Downsample(), 12)])
def test_tokens_of_a_full_canvas(backbone, method, per_tile):
    """112 x 112 fills 2 x 2 tiles: no padding, so every tile brings its tokens; no newlines as the authors."""
    ((sequence,),) = sequences(backbone, [[picture(112, 112)]], method, layout=Layout(newline="none"))
    assert len(sequence) == 5 * per_tile


def test_scores_are_the_attention_that_eager_kernels_compute(backbone):
    tower = copy.deepcopy(backbone.model.model.vision_tower)
    tower.config._attn_implementation = "eager"
    ((image,),) = backbone.tile([[picture(112, 56)]])
    weights = {}
    blocks = list(tower.encoder.layers)
    for name, block in (("first", blocks[0]), ("last", blocks[-1])):
        block.self_attn.register_forward_hook(lambda m, i, out, name=name: weights.__setitem__(name, out[1]))
    with torch.inference_mode():
        states = tower.embeddings(image.pixels)
        for block in blocks:
            states = block(states, attention_mask=None)
        features, capture = backbone.tower(image.pixels, frozenset({"scores", "first_scores", "keys"}))
    caught = capture.of_image(slice(0, len(image.pixels)))
    torch.testing.assert_close(features, states, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(caught["scores"], weights["last"].mean(dim=(1, 2)), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(caught["first_scores"], weights["first"][0].mean(dim=(0, 1)), atol=1e-6, rtol=1e-4)


def test_downsample_image_changes_the_tiles_only(backbone):
    dense = encode(backbone, [[picture(112, 112)]])
    small = encode(backbone, [[picture(112, 112)]], DownsampleImage())
    assert (dense[0].tiles, small[0].tiles) == (5, 2)


@each(DEFAULTS)
def test_black_and_padded_pictures_give_no_nan(backbone, method):
    samples = [[Image.new("RGB", size)] for size in ((112, 112), (200, 30), (30, 90))]
    for (sequence,) in sequences(backbone, samples, method):
        assert sequence.isfinite().all()
