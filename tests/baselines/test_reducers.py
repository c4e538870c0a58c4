"""What every method before the decoder promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tests.baselines.vectors import kept_of, random_tokens
from visor_baselines.downsample import Downsample
from visor_baselines.downsample_image import DownsampleImage
from visor_baselines.hired import HiRED
from visor_baselines.m3 import M3
from visor_baselines.random_keep import RandomKeep
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner, VisPruner16x
from visor_eval.core.tokens import ReducedTokens, VisionTokens
from visor_eval.models.layout import lay_out, packed_order

DEFAULTS = [VisionZip(), VisPruner(), VisPruner16x(), HiRED(), M3(), Downsample(), DownsampleImage(), RandomKeep()]
VARIANTS = [
    VisionZip(merge="average"),
    VisionZip(contextual=0),
    VisionZip(dominant=0, contextual=3),
    VisPruner(diverse=0),
    VisPruner(important=0),
    HiRED(allocation="sum"),
    HiRED(rate=1),
    M3(after_projector=False),
    M3(pooling="kernel"),
]
SELECTING = [m for m in DEFAULTS + VARIANTS if not isinstance(m, M3 | Downsample | DownsampleImage)]
GRIDS = [None, (1, 1), (1, 2), (2, 1), (2, 3)]


def each(methods):
    return pytest.mark.parametrize("method", methods, ids=repr)


@each(DEFAULTS + VARIANTS)
@pytest.mark.parametrize(("grid", "shape"), [((2, 2), (7, 7)), (None, (27, 27)), ((1, 2), (27, 27))])
def test_flops_are_those_dispatched(method, grid, shape):
    tokens = random_tokens(grid, shape, dim=24, key_dim=8)
    with FlopCounterMode(display=False) as counter:
        method.reduce(tokens)
    expected = method.flops(tiles=tokens.num_tiles, tokens=tokens.num_patches, dim=24, key_dim=8)
    assert counter.get_total_flops() == expected


@each(DEFAULTS + VARIANTS)
def test_only_what_is_needed_is_read(method):
    tokens = random_tokens((1, 2), (7, 7))
    fields = {name: getattr(tokens, name) for name in method.needs}
    bare = VisionTokens(
        features=tokens.features, tile_shape=(7, 7), grid=(1, 2), image_size=tokens.image_size, **fields
    )
    method.reduce(bare)
    if method.needs:
        with pytest.raises(ValueError, match="carry no"):
            method.reduce(VisionTokens(features=tokens.features, tile_shape=(7, 7), grid=(1, 2), image_size=(8, 8)))


@each(SELECTING)
@given(st.sampled_from(GRIDS), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.booleans())
@settings(max_examples=25, deadline=None)
def test_kept_tokens_are_unique_sorted_unchanged(method, grid, rows, cols, seed, constant):
    tokens = random_tokens(grid, (max(2, rows), max(2, cols)), dim=4, key_dim=3, seed=seed, constant=constant)
    out = method.reduce(tokens)
    assert isinstance(out, ReducedTokens)
    assert out.features.isfinite().all()
    assert out.num_tokens == len(out.position) == len(out.features) == len(out.merged) <= tokens.num_tokens
    for tile in range(tokens.num_tiles):
        kept = kept_of(out, tile)
        assert kept == sorted(set(kept))
        if hasattr(method, "budget"):
            assert (out.tile == tile).sum() == sum(method.budget(tokens.num_patches))
    same = ~out.merged
    assert torch.equal(out.features[same], tokens.features[out.tile[same], out.position[same]])


@pytest.mark.parametrize(
    "make", [lambda n: VisionZip(dominant=n), lambda n: VisPruner(important=n), lambda n: RandomKeep(tokens=n)]
)
def test_more_budget_keeps_more(make):
    tokens = random_tokens((1, 2), (7, 7))
    counts = [make(n).reduce(tokens).num_tokens for n in range(1, 50)]
    assert counts == sorted(counts)
    assert counts[-1] == tokens.num_tokens


@each(DEFAULTS)
def test_gradients_reach_the_kept_features(method):
    """Trained variants (VisionZip-dagger, VisPruner, M3) learn through the reduction."""
    tokens = random_tokens((1, 1), (7, 7))
    tokens.features.requires_grad_()
    method.reduce(tokens).features.sum().backward()
    assert tokens.features.grad.abs().sum() > 0


@each(DEFAULTS)
@pytest.mark.parametrize("grid", [(1, 2), (2, 1), (2, 3), (6, 6)], ids=str)
def test_canvases_of_27x27_tiles(method, grid):
    """Thumbnail, then what is left of the canvas row by row with a newline after each, then merged tokens by tile."""
    tokens = random_tokens(grid, dim=4, key_dim=3)
    out = method.reduce(tokens)
    assert out.features.isfinite().all()
    if isinstance(out, VisionTokens):
        rows, cols = out.tile_shape
        marks = torch.arange(out.num_tokens, dtype=torch.float32).view(out.num_tiles, -1, 1)
        sequence = lay_out(out.with_features(marks.flatten(0, 1)), torch.tensor([-1.0]), max_tiles=100)
        tiles = marks[1:, :, 0].view(*grid, rows, cols).tolist()
        expected = marks[0, :, 0].tolist()
        for row in range(grid[0] * rows):
            for col in range(grid[1]):
                expected += tiles[row // rows][col][row % rows]
            expected.append(-1)
    else:
        sequence = packed_order(out)
        places = list(zip(out.tile.tolist(), out.position.tolist(), out.merged.tolist(), strict=True))
        index = {place: number for number, place in enumerate(places)}
        assert len(index) == out.num_tokens
        own = [number for number, (tile, _, _) in enumerate(places) if tile == 0]
        expected = sorted(
            own, key=lambda number: (places[number][2], places[number][1] if not places[number][2] else number)
        )
        for row in range(grid[0] * 27):
            for col in range(grid[1] * 27):
                tile = 1 + row // 27 * grid[1] + col // 27
                number = index.get((tile, row % 27 * 27 + col % 27, False))
                expected += [] if number is None else [number]
            expected.append(-1)
        expected += [number for number, (tile, _, merged) in enumerate(places) if tile and merged]
    assert sequence.flatten().tolist() == expected
    if hasattr(method, "budget"):
        assert out.num_tokens == (1 + grid[0] * grid[1]) * sum(method.budget(729))


@each(DEFAULTS)
def test_constant_tiles_give_no_nan_and_the_first_of_equals(method):
    tokens = random_tokens((1, 2), constant=True)
    out = method.reduce(tokens)
    assert out.features.isfinite().all()
    if isinstance(method, VisionZip | VisPruner | HiRED):
        for tile in range(3):
            kept = kept_of(out, tile)
            first = {VisionZip: 104, VisPruner: 96, VisPruner16x: 34}.get(type(method), len(kept))
            assert kept[:first] == list(range(first))
    elif isinstance(out, VisionTokens):
        torch.testing.assert_close(out.features, torch.full_like(out.features, 0.5))
