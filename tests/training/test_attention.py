"""The tower is taught to attend to what its tiles show; nothing else changes, and the projector's output holds."""

import pytest
import torch

from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.training.attention import (
    KEPT,
    SCORES,
    AttentionRecipe,
    draw_queries_and_keys,
    received,
    share_found,
    sub_tiles,
    teach_attention,
    unexplained,
)
from visor_eval.training.labels import LabelSet
from visor_eval.training.stream import QuestionTokens, Stream

TOWER = "model.vision_tower."


def stream_of(tokenizer, task="docvqa_val"):
    return Stream(QuestionTokens(tokenizer), (task,), "train", 0, images=8, questions=1)


def test_share_found_by_hand():
    scores = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    shown = torch.zeros(3, 4, 2)
    shown[0, 0] = 1  # best of its tile, two labels: one cell
    shown[0, 2, 1] = 0.25  # third
    shown[1, 0, 0] = shown[1, 2, 1] = shown[1, 3, 1] = 1  # fourth, second, best; the third tile shows nothing
    assert share_found(scores, shown, kept=1) == pytest.approx(2 / 5)
    assert share_found(scores, shown, kept=2) == pytest.approx(3 / 5)
    assert share_found(scores, shown, kept=3) == pytest.approx(4 / 5)
    assert share_found(scores, shown, kept=4) == 1


def test_unexplained_is_one_for_the_mean_and_zero_for_the_target():
    target = torch.randn(3, 5, 4)
    assert unexplained(target, target) == 0
    assert unexplained(target.mean((0, 1)).expand_as(target), target) == pytest.approx(1.0)


def test_scores_are_those_of_the_sub_tiles(tokenizer, model):
    batch = stream_of(tokenizer).batch(0)
    pixels = batch.packed.pixels.flatten(0, 1)
    _, capture = LlavaOnevision(model).tower(pixels, SCORES)
    scores = received(capture, len(pixels))
    torch.testing.assert_close(scores.sum(-1), torch.ones(len(pixels)))
    images, tiles = batch.packed.pixels.shape[:2]
    assert tiles > 2
    found = sub_tiles(scores, batch)
    assert len(found) == images * (tiles - 1)
    assert torch.equal(found[0], scores[1])
    assert torch.equal(found[tiles - 1], scores[tiles + 1])  # behind the second image's thumbnail


def test_queries_and_keys_are_drawn_by_the_seed(model):
    def drawn(seed):
        draw_queries_and_keys(model, seed)
        return {name: value.clone() for name, value in model.state_dict().items()}

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    blocks = model.config.vision_config.num_hidden_layers
    assert changed == {
        f"{TOWER}encoder.layers.{block}.self_attn.{kind}_proj.weight" for block in range(blocks) for kind in "qk"
    }


def test_only_the_tower_learns_and_it_finds_more(tokenizer, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learnt = {name: value.requires_grad for name, value in model.named_parameters()}
    recipe = AttentionRecipe(steps=150, lr=5e-3, told_weight=1.0)
    curve = teach_attention(model, stream_of(tokenizer, "pope"), LabelSet.default(), recipe)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(TOWER) for name in changed)
    assert {name: value.requires_grad for name, value in model.named_parameters()} == learnt
    first, *_, last = curve
    assert last["loss"] < first["loss"]
    assert last["found"] > 2 * KEPT / 49  # chance is KEPT / 49
    assert last["held"] < 1  # 1: nothing left of what the projector made


def test_the_projectors_output_holds(tokenizer, model):
    """With nothing to be told, new queries and keys come to give what the former ones gave."""
    recipe = AttentionRecipe(steps=80, told_weight=0.0)
    first, *_, last = teach_attention(model, stream_of(tokenizer, "pope"), LabelSet.default(), recipe)
    assert first["held"] > 0.05
    assert last["held"] < first["held"] / 3
