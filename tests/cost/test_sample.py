"""Sample costs: the paper's known numbers, monotonicity, dense counterparts, errors."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.cost import (
    PAPER_CONFIGURATIONS,
    BackboneShape,
    LayerPlan,
    LayerStep,
    Reader,
    VisionMode,
    VisorShape,
    backbone,
    cost_record,
    cross_attention_layers,
    kv_cache_bytes,
    sample_cost,
)
from visor_eval.records import CostRecord, Flops

READ = cross_attention_layers(24)
SHAPE = replace(backbone("llava-ov-0.5b"), visor=VisorShape(read_layers=READ, router_hidden=256))
GIVEN = {"prefix_tokens": 14, "text_tokens": 32, "tiles": 10, "generated_tokens": 8}


def record(full: tuple[int, ...], vision: int, **changes: object) -> CostRecord:
    plan = LayerPlan.sparse(24, vision, full=full, read=READ)
    arguments = {**GIVEN, "dense_vision_tokens": vision, "configuration": full, **changes}
    return cost_record(SHAPE, plan, **arguments)  # type: ignore[arg-type]


def saving(cost: CostRecord, accounting: str = "exact", *, causal: bool = False) -> float:
    return cost.dense_total(accounting, causal=causal) / cost.total(accounting, causal=causal)


@pytest.mark.parametrize("router", [False, True])
@pytest.mark.parametrize("prefix", [0, 14])
def test_known_savings(router: bool, prefix: int) -> None:
    long = record((1, 4), 7290, router=router, prefix_tokens=prefix)
    assert saving(long, "paper") == 12.0
    assert saving(long) == pytest.approx(11.2, abs=0.1)
    short = record((1, 4), 729, router=router, prefix_tokens=prefix)
    assert saving(short, "paper") == 12.0
    assert saving(short) == pytest.approx(7.9, abs=0.1)


def test_known_savings_of_visionzip() -> None:
    for vision, exact, causal in ((729, 5.1, None), (7290, 9.1, 7.5)):
        plan = LayerPlan.dense(24, vision * 128 // 729)
        cost = cost_record(SHAPE, plan, **GIVEN, dense_vision_tokens=vision, tile_tokens=128)
        assert saving(cost, "paper") == pytest.approx(5.70, abs=0.005)
        assert saving(cost) == pytest.approx(exact, abs=0.05)
        assert causal is None or saving(cost, causal=True) == pytest.approx(causal, abs=0.06)


def test_paper_accounting() -> None:
    assert [saving(record(c, 729), "paper") for c in ((1, 4), (1, 4, 7), (1, 4, 7, 16))] == [12, 8, 6]
    packed = record((1, 4), 5000, dense_vision_tokens=7290, tile_tokens=729 / 2)
    assert saving(packed, "paper") == 24
    stages = [(729, 8), (365, 8), (182, 8)]
    pruner = LayerPlan(tuple(LayerStep(VisionMode.FULL, tokens) for tokens, layers in stages for _ in range(layers)))
    cost = cost_record(SHAPE, pruner, **GIVEN, dense_vision_tokens=729)
    assert cost.nominal == pytest.approx(8 * (729 + 365 + 182))


def test_dense_record_saves_nothing() -> None:
    cost = cost_record(SHAPE, LayerPlan.dense(24, 729), **GIVEN, dense_vision_tokens=729)
    for accounting in ("paper", "exact", "end_to_end"):
        assert saving(cost, accounting) == 1.0
    assert cost.prefill == cost.dense_prefill
    assert cost.decode == cost.dense_decode
    assert cost.kv_cache_bytes == cost.kv_cache_bytes_dense
    assert cost.self_attention_layers == 24
    assert cost.configuration is None


def test_accountings_contain_each_other() -> None:
    cost = record((1, 4), 729, router=True)
    tower = cost.prefill.tower + cost.prefill.projector
    assert cost.total("end_to_end") == cost.total("exact") + tower + cost.decode.total()
    assert cost.total(causal=True) < cost.total()
    difference = cost.total() - cost.total(causal=True)
    routing = cost.prefill.router - cost.prefill.router_causal
    assert difference == cost.prefill.attention - cost.prefill.attention_causal + routing
    with pytest.raises(ValueError, match="unknown accounting 'nominal'"):
        cost.total("nominal")


def test_causal_pairs() -> None:
    one = sample_cost(SHAPE, LayerPlan.dense(24, 0), prefix_tokens=0, text_tokens=1, tiles=0, generated_tokens=1)
    assert one.prefill.attention == one.prefill.attention_causal
    zero = LayerPlan.sparse(24, 100, full=(), read=(2,), reader=Reader.OWN)
    cost = sample_cost(SHAPE, zero, **GIVEN).prefill
    masked = 4 * 14 * 100 * SHAPE.decoder.query_width  # the prefix may not read the image after it
    assert cost.cross_attention - cost.cross_attention_causal == masked


def test_router_sits_in_the_first_layers_only() -> None:
    plan = LayerPlan.sparse(24, 729, full=(1, 4), read=READ)
    routed = sample_cost(SHAPE, plan, **GIVEN, router=True).prefill
    plain = sample_cost(SHAPE, plan, **GIVEN).prefill
    assert replace(routed, router=0, router_causal=0) == plain
    other = LayerPlan.sparse(24, 729, full=(1, 10, 16), read=READ)
    assert sample_cost(SHAPE, other, **GIVEN, router=True).prefill.router == routed.router
    assert 0 < routed.router_causal < routed.router


def test_kv_cache_bytes() -> None:
    plan = LayerPlan.sparse(24, 729, full=(1, 4), read=READ)
    decoder = SHAPE.decoder
    tokens = 24 * (32 + 7) + 2 * 729 + 8 * 729  # the last of 8 generated tokens is never cached
    given = {"text_tokens": 32, "generated_tokens": 8}
    assert kv_cache_bytes(decoder, plan, **given, dtype_bytes=2) == tokens * 2 * 128 * 2
    assert kv_cache_bytes(decoder, plan, **given, dtype_bytes=4) == tokens * 2 * 128 * 4


@settings(deadline=None)
@given(
    vision=st.integers(1, 400),
    fewer=st.integers(0, 399),
    text=st.integers(1, 60),
    data=st.data(),
)
def test_cost_falls_as_tokens_and_layers_fall(vision: int, fewer: int, text: int, data: st.DataObject) -> None:
    fewer = min(fewer, vision - 1)
    prefix = data.draw(st.integers(0, text - 1))
    configuration = data.draw(st.sampled_from(PAPER_CONFIGURATIONS))
    dropped = tuple(layer for layer in configuration if layer != configuration[-1])
    given = {"prefix_tokens": prefix, "text_tokens": text, "tiles": 1, "generated_tokens": 3}

    def total(full: tuple[int, ...], tokens: int, read: tuple[int, ...] = READ) -> int:
        cost = sample_cost(SHAPE, LayerPlan.sparse(24, tokens, full=full, read=read), **given)
        return cost.prefill.total() + cost.decode.total() + cost.kv_cache_bytes

    assert total(configuration, fewer) < total(configuration, vision)
    assert total(dropped, vision) < total(configuration, vision)
    assert total(configuration, vision, READ[:-1]) < total(configuration, vision)
    if vision >= text:  # with hardly any vision the added blocks' queries cost more than they save
        assert total(configuration, vision) < total(tuple(range(1, 25)), vision, ())


@settings(deadline=None)
@given(
    vision=st.integers(0, 300),
    text=st.integers(0, 40),
    generated=st.integers(0, 9),
    full=st.sampled_from(PAPER_CONFIGURATIONS),
    router=st.booleans(),
)
def test_records_hold_together(vision: int, text: int, generated: int, full: tuple[int, ...], router: bool) -> None:
    cost = record(full, vision, text_tokens=text, prefix_tokens=text // 2, generated_tokens=generated, router=router)
    assert CostRecord.from_dict(cost.to_dict()) == cost
    for flops in (cost.prefill, cost.decode, cost.dense_prefill, cost.dense_decode):
        assert flops.total(causal=True) <= flops.total()
    assert cost.decode.total(causal=True) == cost.decode.total()
    assert cost.kv_cache_bytes <= cost.kv_cache_bytes_dense
    assert generated > 1 or cost.decode == Flops()


def test_errors(tiny: BackboneShape) -> None:
    plan = LayerPlan.sparse(6, 5, full=(1,), read=(2,))
    given = {"prefix_tokens": 1, "text_tokens": 4, "tiles": 1, "generated_tokens": 1}
    with pytest.raises(ValueError, match="24 layers, tiny has 6"):
        sample_cost(tiny, LayerPlan.dense(24, 5), **given)
    with pytest.raises(ValueError, match=r"prefix_tokens must lie in 0..text_tokens"):
        sample_cost(tiny, plan, **{**given, "prefix_tokens": 5})
    with pytest.raises(ValueError, match="has no VisorShape"):
        sample_cost(replace(tiny, visor=None), plan, **given)
    with pytest.raises(ValueError, match=r"layers \[3\] of tiny have no added block"):
        sample_cost(tiny, LayerPlan.sparse(6, 5, full=(1,), read=(3,)), **given)
    with pytest.raises(ValueError, match="has no router"):
        sample_cost(replace(tiny, visor=VisorShape(read_layers=(2,))), plan, **given, router=True)
    with pytest.raises(ValueError, match=r"unknown backbone 'x'; valid: llava-ov-0.5b"):
        backbone("x")
