"""The cost that `visor-eval flops` gives without running a method is the cost that running it records."""

from dataclasses import replace

import pytest
import torch

from tests.baselines.vectors import random_tokens
from tests.conftest import picture
from tests.visor.conftest import random_modules
from visor_baselines.downsample import Downsample
from visor_baselines.downsample_image import DownsampleImage
from visor_baselines.fastv import FastV
from visor_baselines.hired import HiRED
from visor_baselines.m3 import M3
from visor_baselines.pyramiddrop import PyramidDrop
from visor_baselines.random_keep import RandomKeep
from visor_baselines.sparsevlm import SparseVLM
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner, VisPruner16x
from visor_eval.core.tokens import ReducedTokens
from visor_eval.cost.budgets import Selection
from visor_eval.cost.estimate import Text, for_images, for_tokens, vision_counts
from visor_eval.cost.plan import Reader
from visor_eval.cost.shapes import VisorShape
from visor_eval.cost.variants import Variant, known_methods
from visor_eval.harness.registry import methods
from visor_eval.models.engine import Engine, Request
from visor_eval.models.layout import lay_out
from visor_eval.models.reduction import Reduction
from visor_eval.visor.build import build_visor_zero, visor_engine
from visor_eval.visor.packing import TokenPacking

FULL_CANVAS = [(112, 112), (56, 168)]  # height, width: no padding is cut
PADDED = [(90, 40), (30, 200), (57, 111)]
SHRUNK = (640, 600)
ON_GRIDS = [M3(), M3(factor=16), M3(pooling="kernel"), M3(after_projector=False), Downsample(), DownsampleImage()]
SELECTING = [VisionZip(), VisionZip(dominant=3, contextual=0), VisPruner(), VisPruner16x(), RandomKeep(), HiRED(rate=1)]
PRUNING = [PyramidDrop(), FastV(), FastV(k=5, r=0.9), SparseVLM(), SparseVLM(preset="keep64")]


def each(parts):
    return pytest.mark.parametrize("part", parts, ids=repr)


@pytest.fixture(scope="module")
def known(backbone, shape):
    """The shape with the rule by which images become tokens."""
    return replace(shape, images=backbone.anyres)


def run(engine, backbone, sizes, group=None):
    """(recorded cost, the text it was recorded with)."""
    images = tuple(picture(*size, seed=index) for index, size in enumerate(sizes))
    cost = engine.answer([Request(images=images, prompt="what is red", max_new_tokens=4, group=group)])[0].cost
    ids = backbone.token_ids("what is red", len(images))
    prefix = int((ids == backbone.model.config.image_token_id).nonzero()[0])
    return cost, Text(prompt=cost.text_tokens, prefix=prefix, generated=cost.generated_tokens)


def comparable(cost):
    """Without what a closed form cannot know."""
    return replace(cost, latency_ms=None, batch_size=1, configuration=None, kv_cache_bytes=0, kv_cache_bytes_dense=0)


@pytest.mark.parametrize("size", [FULL_CANVAS[0], *PADDED[:2], SHRUNK], ids=str)
@each([None, *ON_GRIDS])
def test_methods_on_grids(backbone, shape, known, part, size):
    reducers = () if part is None else (part,)
    cost, text = run(Engine(backbone, shape, reduction=Reduction(reducers)), backbone, [size])
    counted = for_images(known, Variant(method="m", reducers=reducers), [size], text)
    assert comparable(counted) == comparable(cost)
    assert 2 * counted.kv_cache_bytes == cost.kv_cache_bytes  # the model holds float32, the count half precision


@pytest.mark.parametrize("size", FULL_CANVAS, ids=str)
@each(SELECTING)
def test_methods_that_select(backbone, shape, known, part, size):
    cost, text = run(Engine(backbone, shape, reduction=Reduction((part,))), backbone, [size])
    counted = for_images(known, Variant(method="m", reducers=(part,)), [size], text)
    assert comparable(counted) == comparable(cost)


@pytest.mark.parametrize("size", PADDED, ids=str)
@each([*SELECTING, HiRED(), HiRED(rate=0.5, alpha=0.2)])
def test_no_picture_gives_more_than_most(backbone, shape, known, part, size):
    cost, text = run(Engine(backbone, shape, reduction=Reduction((part,))), backbone, [size])
    worst = for_images(known, Variant(method="m", reducers=(part,)), [size], text, most=True)
    counted = for_images(known, Variant(method="m", reducers=(part,)), [size], text)
    assert counted.vision_tokens <= worst.vision_tokens
    assert cost.vision_tokens <= worst.vision_tokens
    assert cost.total() <= worst.total()


@pytest.mark.parametrize("group", ["easy", None])
@each(PRUNING)
def test_methods_between_layers(backbone, shape, known, part, group):
    size = (30, 200)
    cost, text = run(Engine(backbone, shape, pruner=part), backbone, [size], group)
    counted = for_images(known, Variant(method="m", pruner=part, group=group), [size], text)
    if isinstance(part, SparseVLM):  # how many words rate depends on the words: the count is the most
        assert counted.prefill.reducer >= cost.prefill.reducer > 0
        counted = replace(counted, prefill=replace(counted.prefill, reducer=cost.prefill.reducer))
    assert comparable(counted) == comparable(cost)


@pytest.mark.parametrize(
    ("configuration", "packing"), [((), 1.0), ((1, 4), 1.0), ((1, 4, 7, 16), 2.0), ((1, 7), 4.0)], ids=str
)
def test_visor(backbone, known, configuration, packing):
    modules = random_modules(backbone, router=True, router_hidden=16, packing=packing)
    text = ",".join(map(str, configuration)) or "none"
    cost, given = run(visor_engine(backbone, modules, config=text), backbone, [(90, 40)])
    reducers = (TokenPacking(factor=packing),) if packing > 1 else ()
    visor = VisorShape(read_layers=modules.config.read_layers, router_hidden=0)
    variant = Variant(method="v", full=configuration, read=visor.read_layers, visor=visor, reducers=reducers)
    assert comparable(for_images(known, variant, [(90, 40)], given)) == comparable(cost)


@each([M3(), M3(after_projector=False), Downsample()])
def test_visor_tr_behind_others(backbone, known, part):
    """The `paper` accounting takes what the others leave, and packing by the factor that names it."""
    modules = random_modules(backbone, router=True, router_hidden=16, packing=2.0)
    engine = visor_engine(backbone, modules, config="1,4", reduction=Reduction((part,)))
    cost, text = run(engine, backbone, [(112, 112)])
    visor = VisorShape(read_layers=modules.config.read_layers, router_hidden=0)
    variant = Variant(
        method="v", full=(1, 4), read=visor.read_layers, visor=visor, reducers=(part, TokenPacking(factor=2.0))
    )
    assert comparable(for_images(known, variant, [(112, 112)], text)) == comparable(cost)
    (rows, cols), tile = part.left(1, (known.tower.side,) * 2), known.tower.tokens
    left = rows * cols / 2
    if part.after_projector:  # packing comes first
        packed = TokenPacking(factor=2.0).left(1, (known.tower.side,) * 2)
        (rows, cols) = part.left(1, packed)
        left = rows * cols * tile / (2 * packed[0] * packed[1])
    assert cost.nominal_dense / cost.nominal == pytest.approx(known.decoder.layers / 2 * tile / left)


@each([None, M3(), VisionZip(), TokenPacking()])
def test_samples_without_images_cost_nothing_by_the_papers_accounting(backbone, shape, part):
    engine = Engine(backbone, shape, reduction=Reduction(() if part is None else (part,)))
    cost = engine.answer([Request(images=(), prompt="what is red", max_new_tokens=2)])[0].cost
    assert (cost.vision_tokens, cost.nominal, cost.nominal_dense) == (0, 0, 0)


def test_visor_with_its_router_and_visionzip(backbone, known):
    part, modules = VisionZip(), random_modules(backbone, router=True, router_hidden=16)
    cost, text = run(visor_engine(backbone, modules, reduction=Reduction((part,))), backbone, [(112, 112)])
    visor = VisorShape(read_layers=modules.config.read_layers, router_hidden=16)
    variant = Variant(method="v", full=cost.configuration, read=visor.read_layers, visor=visor, reducers=(part,))
    assert comparable(for_images(known, variant, [(112, 112)], text)) == comparable(cost)


def test_visor_zero(backbone, known):
    engine = build_visor_zero(backbone, config="1,4")
    cost, text = run(engine, backbone, [(90, 40)])
    variant = Variant(method="z", full=(1, 4), read=tuple(engine.decoder.readers), reader=Reader.OWN)
    assert comparable(for_images(known, variant, [(90, 40)], text)) == comparable(cost)


@each([None, M3(), VisionZip(), HiRED()])
def test_several_images_get_one_tile_each(backbone, shape, known, part):
    sizes = [(70, 60), (56, 90)]
    reducers = () if part is None else (part,)
    cost, text = run(Engine(backbone, shape, reduction=Reduction(reducers)), backbone, sizes)
    assert comparable(for_images(known, Variant(method="m", reducers=reducers), sizes, text)) == comparable(cost)
    assert vision_counts(known, reducers, []).tokens == 0


def test_whole_tiles_without_newlines(known):
    """N tiles of T tokens: what every tile leaves, N times."""
    tile = known.tower.tokens
    for part, left in ((VisionZip(), 9), (VisPruner(), 8), (M3(), 6), (Downsample(), 12)):
        variant = Variant(method="m", reducers=(part,))
        for tiles in (1, 4, 10):
            cost = for_tokens(known, variant, tiles * tile, Text())
            assert (cost.tiles, cost.vision_tokens, cost.dense_vision_tokens) == (tiles, tiles * left, tiles * tile)


@pytest.mark.parametrize("shape_of_tile", [(27, 27), (7, 7), (5, 9)], ids=str)
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 3)], ids=str)
@each([*ON_GRIDS, *SELECTING, TokenPacking(), TokenPacking(factor=4)])
def test_what_is_left_is_what_reduce_leaves(part, grid, shape_of_tile):
    tokens = random_tokens(grid, shape_of_tile)
    said, done = part.left(tokens.num_tiles, shape_of_tile), part.reduce(tokens)
    if isinstance(said, Selection):
        assert isinstance(done, ReducedTokens)
        assert torch.equal(torch.bincount(done.tile[~done.merged], minlength=tokens.num_tiles), torch.tensor(said.kept))
        assert done.num_tokens == said.tokens == said.most
    else:
        assert done.tile_shape == said


@each([HiRED(), HiRED(rate=0.5, alpha=0.2), HiRED(rate=0.9, alpha=0.0), HiRED(allocation="sum")])
def test_hired_with_even_attention_and_at_most(part):
    """Equal scores share equally; unequal ones never take more than the whole."""
    for seed in range(5):
        for constant in (True, False):
            tokens = random_tokens((3, 3), (9, 9), seed=seed, constant=constant)
            said, done = part.left(10, (9, 9)), part.reduce(tokens)
            assert done.num_tokens <= said.most
            if constant and part.allocation == "sum":
                assert torch.bincount(done.tile, minlength=10).tolist() == list(said.kept)


@pytest.mark.parametrize("size", [(60, 50), (200, 33), (90, 300), (111, 112), (500, 480)], ids=str)
@each([M3(), M3(factor=3.0), Downsample(), TokenPacking(), TokenPacking(factor=3.0)])
def test_layout_of_coarser_grids(backbone, known, part, size):
    """Unpadding and shrinking of tokens that are no squares."""
    grid = backbone.anyres.count(*size).grid
    tokens = replace(random_tokens(grid, (7, 7)), image_size=size)
    sequence = lay_out(part.reduce(tokens), torch.zeros(tokens.features.shape[-1]), backbone.anyres.max_tiles)
    assert vision_counts(known, (part,), [size]).tokens == len(sequence)


def test_every_method_that_runs_says_what_it_costs():
    ours = {name for name, method in methods().items() if method.target.startswith(("visor_eval.", "visor_baselines."))}
    assert ours <= set(known_methods())
