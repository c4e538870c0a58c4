"""From VISOR to dense: stock layers open, what the blocks add fades, and only stock weights learn on the way."""

from dataclasses import replace

import pytest
import torch

from visor_eval.training.loop import Member, plan_of
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.recipes import LANGUAGE, Handover, handover
from visor_eval.training.stream import QuestionTokens, Stream


def plans(model, visor, recipe):
    return [plan_of(recipe, step, Member(model, visor)) for step in range(recipe.steps)]


def test_all_layers_are_open_before_the_blocks_are_gone(model, visor):
    recipe = handover(steps=60, handover=Handover(opening=30, fading=(20, 60)))
    drawn = plans(model, visor, recipe)
    layers = len(model.model.language_model.layers)
    assert all(1 in plan.full for plan in drawn)
    assert all(len(plan.full) == layers for plan in drawn[30:])
    early, late = (sum(len(plan.full) for plan in part) for part in (drawn[:10], drawn[20:30]))
    assert early < late < 10 * layers
    strengths = [plan.strength for plan in drawn]
    assert strengths[:21] == [1.0] * 21
    assert strengths == sorted(strengths, reverse=True)
    assert 0 < strengths[-1] < 0.05


def test_what_comes_after_the_last_step_is_the_dense_plan(model, visor):
    recipe = handover()
    assert plan_of(recipe, recipe.steps, Member(model, visor)) == replace(
        StepPlan.dense(len(model.model.language_model.layers)), strength=0.0
    )


def test_the_shipped_one_ends_where_its_blocks_do():
    recipe = LANGUAGE["handover"]
    assert recipe.handover.fading[1] == recipe.steps
    assert LANGUAGE["dense-base"].handover is None
    shorter = recipe.of_length(recipe.steps // 10)
    assert shorter.handover.fading[1] == shorter.steps
    assert shorter.handover.opening == recipe.handover.opening // 10


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_scales_what_the_blocks_add(tokenizer, model, visor, strength):
    packed = PackedModel(model, visor)
    batch = Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, 2, 2).batch(0).packed
    plan = StepPlan(full=frozenset({1, 2}), read=frozenset({2}), strength=strength)
    with torch.no_grad():
        without = packed.hidden(batch, replace(plan, read=frozenset()), depth=2)
        whole = packed.hidden(batch, replace(plan, strength=1.0), depth=2)
        scaled = packed.hidden(batch, plan, depth=2)
    assert not torch.allclose(whole, without, atol=1e-3)
    torch.testing.assert_close(scaled, without + strength * (whole - without), atol=1e-5, rtol=0)


def test_only_stock_weights_learn(model, visor):
    learning = Member(model, visor).learn(LANGUAGE["handover"].learns)
    assert learning
    assert not any(name.startswith("visor.") for name in learning)
    assert not any(parameter.requires_grad for parameter in visor.parameters())
