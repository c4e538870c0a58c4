import pytest
import torch

from tests.baselines.vectors import golden_cases, random_tokens, tokens_of
from visor_baselines.m3 import M3


@golden_cases("m3")
def test_kernel_pooling_equals_the_authors_code(golden):
    side, target = golden.params["grid_side"], golden.params["target_tokens"]
    tokens = tokens_of(golden["features"], tile_shape=(side, side))
    out = M3(factor=side * side / target, pooling="kernel").reduce(tokens)
    torch.testing.assert_close(out.features, golden["pooled"], atol=1e-6, rtol=0)
    assert out.tile_shape == (golden.params["output_side"],) * 2
    if not golden.params["dropped_border"] and side % golden.params["output_side"] == 0:  # the two poolings agree there
        adaptive = M3(factor=side * side / target).reduce(tokens)
        torch.testing.assert_close(adaptive.features, golden["pooled"], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("factor", "shape"), [(1, (27, 27)), (4, (13, 14)), (8, (9, 10)), (16, (7, 7))])
def test_adaptive_grids_drop_no_border(factor, shape):
    tokens = random_tokens((1, 2))
    out = M3(factor=factor).reduce(tokens)
    assert out.tile_shape == shape
    assert out.features.shape == (3, shape[0] * shape[1], 24)
    grid = tokens.features.view(3, 27, 27, 24)
    last = grid[:, -(-27 // shape[0]) * -1 :, -(-27 // shape[1]) * -1 :].mean(dim=(1, 2))
    torch.testing.assert_close(out.features[:, -1], last)


def test_the_authors_factor_8_is_factor_4():
    tokens = random_tokens(None)
    four, eight = (M3(factor=factor, pooling="kernel").reduce(tokens) for factor in (4, 8))
    assert torch.equal(four.features, eight.features)


def test_factor_one_is_identity_and_other_grids_drop_what_was_captured():
    tokens = random_tokens((1, 2), (7, 7))
    assert torch.equal(M3(factor=1).reduce(tokens).features, tokens.features)
    out = M3().reduce(tokens)
    assert out.tile_shape == (2, 3)
    assert out.scores is None
    assert out.grid == tokens.grid


def test_settings():
    assert M3().after_projector
    assert not M3(after_projector=False).after_projector
    for wrong in ({"factor": 0.5}, {"pooling": "max"}):
        with pytest.raises(ValueError, match=r"at least 1|must be"):
            M3(**wrong)


def test_dtype_stays():
    tokens = random_tokens(None)
    assert M3().reduce(tokens_of(tokens.features.bfloat16(), tile_shape=(27, 27))).features.dtype == torch.bfloat16
