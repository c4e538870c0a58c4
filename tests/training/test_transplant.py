"""What blocks know becomes stock attention: equal products, unmoved by the rotary embedding, vision before text."""

from dataclasses import replace

import torch

from tests.training.conftest import SHORT, TASKS, open_modules, short
from visor_baselines.m3 import M3
from visor_eval.training import stages, transplant
from visor_eval.training.layers import BlockWeights, LayerWeights, Rotary, Shape, _attend, _qkv, read_block
from visor_eval.training.loop import Member, plan_of
from visor_eval.training.packed import StepPlan
from visor_eval.training.recipes import LANGUAGE
from visor_eval.training.stream import QuestionTokens, Stream


def unrotated(tokens, width):
    return Rotary(torch.ones(tokens, width), torch.zeros(tokens, width))


def attention_of(layer, text, vision, shape):
    """What a stock layer's attention adds to ``text`` that sees only ``vision``, positions left out."""
    w = LayerWeights.of(layer)
    q, _, _ = _qkv(text, w, unrotated(text.shape[1], shape.head_dim), shape)
    _, k, v = _qkv(vision, w, unrotated(vision.shape[1], shape.head_dim), shape)
    return _attend(q, k, v, None, shape) @ w.out.T


def test_a_stock_layer_reads_what_its_block_read(model, visor, monkeypatch):
    """Exact where nothing stands between: no rotation, as many components as the block has, no text."""
    torch.manual_seed(3)
    monkeypatch.setattr(transplant, "SLOW_PAIRS", 1.0)
    monkeypatch.setattr(transplant, "VISION_MARGIN", 0.0)
    block, layer = visor.blocks["2"], model.model.language_model.layers[2]
    with torch.no_grad():
        block.conv.weight.zero_()
        block.q_proj.weight.mul_(40)  # so that it matters which token is looked at
        for head in range(block.shape.heads):  # one component of each head is taken by what tells vision from text
            block.q_proj.weight[head * block.shape.head_dim], block.q_proj.bias[head * block.shape.head_dim] = 0.0, 0.0
    text, vision = torch.randn(2, 1, 300, 32)

    def normed(states):
        return (states * torch.rsqrt(states.square().mean(-1, keepdim=True) + 1e-6))[0].double()

    speeds = torch.zeros(block.shape.head_dim // 2).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        transplant._host(layer, block, normed(text), normed(vision), speeds, 0.0, generator)
        shape = Shape(block.shape.heads, block.shape.kv_heads, block.shape.head_dim, 1e-6, torch.float32)
        expected = read_block(text, vision, BlockWeights.of(block), shape) - text
        found = attention_of(layer, text, vision, shape)
    assert expected.std(1).max() > 0.02
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_the_strongest_components_are_the_best_of_their_rank():
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 8, 13).double(), torch.randn(8, 13).double()  # two heads share the keys
    text, vision = torch.randn(500, 12).double() * torch.linspace(3, 0.1, 12), torch.randn(500, 12).double()
    roots = transplant._roots(text), transplant._roots(vision)
    asked, looked = (transplant._with_one(states) for states in (text, vision))
    exact = torch.stack([asked @ head.T @ keys @ looked.T for head in queries])

    def error(rank):
        q, k = transplant._strongest(queries, keys, *roots, rank)
        return (torch.stack([asked @ head.T @ k @ looked.T for head in q]) - exact).norm() / exact.norm()

    errors = [error(rank).item() for rank in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9


def test_turned_queries_meet_keys_at_their_distance():
    torch.manual_seed(0)
    speeds, distance, place = torch.rand(8).double(), 37.0, 11.0
    query, key = torch.randn(2, 16).double()

    def rotated(x, at):
        angle = (speeds * at).repeat(2)
        return x * angle.cos() + torch.cat((-x[8:], x[:8])) * angle.sin()

    turned = transplant._turns(speeds, distance) @ query
    torch.testing.assert_close(rotated(turned, place + distance) @ rotated(key, place), query @ key)


def test_the_separator_tells_vision_from_text():
    torch.manual_seed(0)
    vision, text = torch.randn(400, 6).double() + 2, torch.randn(400, 6).double() - 2
    weights = transplant._separator(vision, text)
    assert (transplant._with_one(vision) @ weights > 0).all()
    assert (transplant._with_one(text) @ weights < 0).all()


def test_grouped_heads(grouped, tokenizer):
    visor = open_modules(grouped)
    before = {name: value.clone() for name, value in grouped.named_parameters()}
    batch = Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, 2, 2).batch(0).packed
    transplant.transplant(grouped, visor, [batch])
    moved = {name for name, value in grouped.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert all(".layers.2." in name or ".layers.5." in name for name in moved)
    assert all("self_attn" in name or "input_layernorm" in name for name in moved)
    assert all(value.isfinite().all() for value in grouped.parameters())


def test_a_dense_stage_behind_a_visor_stage_has_no_blocks_and_a_fresh_optimiser(work):
    stages.language(work, short("base"), TASKS)
    base, _, _ = stages.load_member(work, short("base"))
    member, _, state = stages.start(work, short("dense-base", start_step=None))
    assert member.visor is None
    assert state is None
    kept = base.parameters()
    moved = {name for name, value in member.parameters().items() if not torch.equal(value, kept[name])}
    reading = transplant.hosts((2, 5), 6).values()
    assert {int(name.split(".layers.")[1].split(".")[0]) + 1 for name in moved} == set(reading) == {3, 6}
    again, _, _ = stages.start(work, short("dense-base", start_step=None))
    assert all(torch.equal(value, again.parameters()[name]) for name, value in member.parameters().items())


def test_blocks_given_back_start_from_the_layer_that_read_for_them(model, visor):
    transplant.give_back(visor, model.model.language_model)
    for number, host in {2: 3, 5: 6}.items():
        block, attention = visor.blocks[str(number)], model.model.language_model.layers[host - 1].self_attn
        assert torch.equal(block.q_proj.weight, attention.q_proj.weight)
        assert torch.equal(block.o_proj.weight, attention.o_proj.weight)
        assert block.gate.item() == transplant.GATE


def test_layers_open_until_all_are(model):
    recipe = replace(LANGUAGE["dense-base"], **SHORT, opening=40)
    plans = [plan_of(recipe, step, Member(model, None)) for step in range(60)]
    assert plans[0] == StepPlan(full=frozenset({1, 3, 6}), read=frozenset())
    assert all(plan == StepPlan.dense(6) for plan in plans[40:])
    early, late = (sum(len(plan.full) for plan in part) for part in (plans[1:20], plans[21:40]))
    assert 19 * 3 < early < late < 19 * 6


def test_opening_steps_reduce_as_the_recipe_says(model):
    reducers = ((M3(factor=4.0),), (M3(factor=16.0),))
    recipe = replace(LANGUAGE["dense-base"], **SHORT, opening=40, reducers=reducers)
    drawn = {plan_of(recipe, step, Member(model, None)).reduction.reducers for step in range(40)}
    assert drawn == set(reducers)


def test_branches_do_not_open_again():
    assert LANGUAGE["dense-base"].opening
    assert not any(LANGUAGE[name].opening for name in ("dense", "m3", "vispruner", "visionzip-dagger", "visor-stage1"))
    whole = LANGUAGE["dense-base"]
    assert whole.of_length(whole.steps // 10).opening == whole.opening // 10
