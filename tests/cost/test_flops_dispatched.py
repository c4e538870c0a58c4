"""The closed form equals the operations that torch dispatches, to the last unit."""

import pytest
import torch

from tests.cost import dispatched
from visor_eval.cost import (
    BackboneShape,
    LayerPlan,
    LayerStep,
    Reader,
    VisionMode,
    cross_attention_layers,
    sample_cost,
    tower_flops,
)
from visor_eval.cost.flops import projector_flops
from visor_eval.records import DECODER_COMPONENTS

FULL, READ, ABSENT = VisionMode.FULL, VisionMode.READ, VisionMode.ABSENT

PLANS = {
    "dense": LayerPlan.dense(6, 13),
    "text-only": LayerPlan.sparse(6, 13, full=()),
    "one full layer": LayerPlan.sparse(6, 13, full=(1,)),
    "visor": LayerPlan.sparse(6, 13, full=(1, 4), read=(2, 5)),
    "cross-attention only": LayerPlan.sparse(6, 13, full=(), read=(2, 5)),
    "visor-zero": LayerPlan.sparse(6, 13, full=(1, 4), read=(2, 3, 5, 6), reader=Reader.OWN),
    "pruner": LayerPlan(tuple(LayerStep(FULL, tokens) for tokens in (13, 13, 7, 7, 3, 0))),
    "visor on fewer tokens": LayerPlan.sparse(6, 5, full=(1, 4), read=(2, 5)),
    "no vision": LayerPlan.dense(6, 0),
    "mixed": LayerPlan((LayerStep(FULL, 9), LayerStep(READ, 9), LayerStep(ABSENT, 0)) * 2),
}


@pytest.mark.parametrize(
    ("name", "prefix", "text", "generated"),
    [*((name, 3, 8, 3) for name in PLANS), ("visor", 0, 1, 1), ("visor", 8, 8, 2), ("visor-zero", 8, 8, 2)],
)
def test_decoder_equals_dispatched(name: str, prefix: int, text: int, generated: int, tiny: BackboneShape) -> None:
    plan = PLANS[name]
    cost = sample_cost(tiny, plan, prefix_tokens=prefix, text_tokens=text, tiles=0, generated_tokens=generated)
    reference = dispatched.Reference(tiny)
    assert cost.prefill.total() == dispatched.count(reference.prefill, plan, text, text - prefix)
    assert cost.decode.total() == dispatched.count(reference.decode, plan, text, generated - 1)


@pytest.mark.parametrize("name", ["dense", "visor", "visor-zero", "no vision"])
def test_router_equals_dispatched_difference(name: str, tiny: BackboneShape) -> None:
    plan, text, prefix = PLANS[name], 8, 3
    given = {"prefix_tokens": prefix, "text_tokens": text, "tiles": 0, "generated_tokens": 1}
    without = sample_cost(tiny, plan, **given)
    routed = sample_cost(tiny, plan, **given, router=True)
    with_token = dispatched.count(dispatched.Reference(tiny).prefill, plan, text, text - prefix, True)
    assert routed.prefill.total() == with_token
    assert routed.prefill.total() - routed.prefill.router == without.prefill.total()


def test_tower_and_projector_equal_dispatched(tiny: BackboneShape) -> None:
    tower, projector = tiny.tower, tiny.projector
    assert tower is not None
    assert projector is not None
    pixels = torch.zeros(3, tower.channels, tower.tile_px, tower.tile_px)
    assert tower_flops(tower, 3) == dispatched.count(dispatched.tower_model(tower), pixels)
    tokens = torch.zeros(3, tower.tokens, tower.hidden)
    assert projector_flops(projector, 3 * tower.tokens) == dispatched.count(
        dispatched.projector_model(projector), tokens
    )


@pytest.mark.parametrize("vision", [729, 7290])
def test_full_size_on_the_meta_device(vision: int, half_billion: BackboneShape) -> None:
    read = cross_attention_layers(24)
    reference = dispatched.Reference(half_billion, device="meta")
    for plan in (LayerPlan.dense(24, vision), LayerPlan.sparse(24, vision, full=(1, 4), read=read)):
        sparse = bool(plan.read_layers)
        cost = sample_cost(
            half_billion, plan, prefix_tokens=14, text_tokens=32, tiles=10, generated_tokens=1, router=sparse
        )
        assert cost.prefill.total(DECODER_COMPONENTS) == dispatched.count(reference.prefill, plan, 32, 18, sparse)
    tower, projector = half_billion.tower, half_billion.projector
    assert tower is not None
    assert projector is not None
    pixels = torch.zeros(10, 3, 384, 384, device="meta")
    assert cost.prefill.tower == dispatched.count(dispatched.tower_model(tower, "meta"), pixels)
    features = torch.zeros(10, 729, 1152, device="meta")
    assert cost.prefill.projector == dispatched.count(dispatched.projector_model(projector, "meta"), features)
