"""What holds for every pruner on the runtime: cache, batches, positions, several images, no image, cost."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.baselines.decoding import Recording, every_layer, prefill, random_head, random_model, random_prompt
from tests.baselines.views import view_of
from visor_baselines.fastv import FastV
from visor_baselines.pyramiddrop import PyramidDrop
from visor_baselines.sparsevlm import SparseVLM
from visor_eval.core.pruning import Positions, Pruned, keep_all
from visor_eval.cost import LayerPlan
from visor_eval.cost.flops import prefill_flops
from visor_eval.cost.plan import LayerStep, VisionMode
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.sequence import Batch
from visor_eval.models.shapes import decoder_shape

LAYERS = 6
CASES = [
    pytest.param(PyramidDrop(), id="pyramiddrop"),
    pytest.param(PyramidDrop(layers=(1, 3, 5), ratios=(0.5, 0.5, 0.1)), id="pyramiddrop-own"),
    pytest.param(PyramidDrop(layers=(2,), ratios=(0.0,), at_least=0), id="pyramiddrop-none-left"),
    pytest.param(SparseVLM(), id="sparsevlm"),
    pytest.param(SparseVLM(layers=(2, 3, 5), keep=(30, 10, 5), always_prune=True), id="sparsevlm-counts"),
    pytest.param(SparseVLM(rule="rank", scale=2.5, bias=1), id="sparsevlm-rank"),
    pytest.param(FastV(), id="fastv"),
    pytest.param(FastV(k=4, r=0.9), id="fastv-late"),
]
NO_OPS = [
    pytest.param(PyramidDrop(layers=(1, 3), ratios=(1.0, 1.0)), id="pyramiddrop"),
    pytest.param(SparseVLM(layers=(1, 3), keep=(1000, 1000)), id="sparsevlm"),
    pytest.param(SparseVLM(rule="rank", scale=1000), id="sparsevlm-rank"),
    pytest.param(FastV(r=0.0), id="fastv"),
]


@pytest.fixture(scope="module")
def model():
    return random_model(LAYERS)


@pytest.fixture
def prompts(model):
    """One image, two, none, one at the very start, a small one, one token."""
    return [
        random_prompt(model, (40,), seed=1),
        random_prompt(model, (30, 33), seed=2),
        random_prompt(model, (), seed=3),
        random_prompt(model, (51,), prefix=0, suffix=12, seed=4),
        random_prompt(model, (9,), prefix=9, suffix=1, seed=5),
        random_prompt(model, (1,), seed=6),
    ]


def greedy(decoder, state, steps=5):
    """Tokens [rows, steps] and the logits before each [steps, rows, vocab]."""
    tokens, logits = [], [state.logits]
    with torch.inference_mode():
        for _ in range(steps):
            tokens.append(state.logits.argmax(dim=-1))
            state = decoder.decode(tokens[-1], state)
            logits.append(state.logits)
    return torch.stack(tokens, dim=1), torch.stack(logits)


def recomputed(model, head, prompt, tokens, recording):
    """Logits behind prompt and ``tokens`` without a cache, the kept sets frozen: one plain pass."""
    cuts = dict(zip(recording.stages(LAYERS, None), recording.answers, strict=False))  # by layer
    positions = torch.cat([prompt.text_positions, prompt.vision_positions])
    order = positions.argsort()
    states = torch.cat([torch.cat([prompt.text, prompt.vision])[order], model.embed_tokens(tokens)])
    vision = torch.cat(
        [(torch.arange(len(order)) >= len(prompt.text))[order], torch.zeros(len(tokens), dtype=torch.bool)]
    )
    positions = torch.arange(len(states))
    for number, layer in enumerate(model.layers, 1):
        rotary = model.rotary_emb(states[None], positions[None])
        states = layer(states[None], attention_mask=None, position_embeddings=rotary)[0]
        if number not in cuts or not vision.any():
            continue
        places, extra = vision.nonzero().flatten(), cuts[number].extra
        extra = states[:0] if extra is None else extra
        end = places[-1] + 1
        stays = ~vision
        stays[places[cuts[number].keep]] = True
        split = int(stays[:end].sum())
        states = torch.cat([states[stays][:split], extra, states[stays][split:]])
        vision = torch.cat([vision[stays][:split], torch.ones(len(extra), dtype=torch.bool), vision[stays][split:]])
        positions = positions[stays] if recording.positions == "preserve" else torch.arange(len(states))
    return head(model.norm(states[-1]))


@pytest.mark.parametrize("pruner", CASES)
def test_cached_equals_recomputed(model, prompts, pruner):
    head = random_head(model)
    for prompt in prompts:
        recording = Recording(pruner)
        decoder, state = prefill(model, recording, [prompt])
        tokens, logits = greedy(decoder, state)
        with torch.inference_mode():
            for step in range(logits.shape[0]):
                expected = recomputed(model, head, prompt, tokens[0, :step], recording)
                torch.testing.assert_close(logits[step, 0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pruner", CASES)
def test_batched_equals_single(model, prompts, pruner):
    groups = ["easy", "hard", None, "easy", "easy", "hard"]
    decoder, together = prefill(model, pruner, prompts, groups)
    tokens, logits = greedy(decoder, together)
    for row, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
        decoder, alone = prefill(model, pruner, [prompt], [group])
        assert together.vision_lengths[row] == alone.vision_lengths[0]
        assert together.pruning_flops[row] == alone.pruning_flops[0]
        single, expected = greedy(decoder, alone)
        assert tokens[row].tolist() == single[0].tolist()
        torch.testing.assert_close(logits[:, row], expected[:, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pruner", NO_OPS)
def test_a_covering_budget_is_dense(model, prompts, pruner):
    decoder, state = prefill(model, pruner, prompts)
    dense_decoder, dense = prefill(model, None, prompts)
    assert state.vision_lengths == dense.vision_lengths
    torch.testing.assert_close(state.logits, dense.logits, atol=0, rtol=0)
    tokens, logits = greedy(decoder, state)
    expected_tokens, expected = greedy(dense_decoder, dense)
    assert torch.equal(tokens, expected_tokens)
    torch.testing.assert_close(logits, expected, atol=0, rtol=0)


@pytest.mark.parametrize("pruner", [*CASES, *NO_OPS])
def test_flops_equal_the_dispatched_ones(model, prompts, pruner):
    shape = decoder_shape(model.config)
    for prompt in prompts:
        with FlopCounterMode(display=False) as counter:
            _, state = prefill(model, pruner, [prompt])
        plan = LayerPlan(tuple(LayerStep(VisionMode.FULL, count) for count in state.vision_lengths[0]))
        text = len(prompt.text_positions)
        cost = prefill_flops(shape, plan, text_tokens=text, readers=text - prompt.prefix_tokens)
        assert cost.total() + state.pruning_flops[0] == counter.get_total_flops()


@pytest.mark.parametrize("pruner", CASES)
def test_caches_hold_what_entered_each_layer(model, prompts, pruner):
    _, state = prefill(model, pruner, prompts)
    for row, prompt in enumerate(prompts):
        assert state.vision_lengths[row][0] == len(prompt.vision_positions)
        assert list(state.vision_lengths[row]) == sorted(state.vision_lengths[row], reverse=True)
        for cache, vision in zip(state.layers, state.vision_lengths[row], strict=True):
            cached = cache.parts[0].past.keys(row).shape[1]
            assert cached == len(prompt.text_positions) + vision
            behind = 0 if cache.behind is None else int(cache.behind[row])
            expected = cached if pruner.positions == "renumber" else prompt.length
            assert int(state.positions[row]) - behind == expected
    assert sum(state.vision_lengths[0]) < LAYERS * state.vision_lengths[0][0]


def ladder(name: str):
    """Settings with falling budgets."""
    return {
        "pyramiddrop": [PyramidDrop(layers=(1, 3), ratios=(ratio, ratio / 2)) for ratio in (1.0, 0.8, 0.5, 0.3, 0.1)],
        "sparsevlm": [SparseVLM(layers=(1, 3), keep=(count, count // 2)) for count in (64, 40, 30, 20, 5)],
        "fastv": [FastV(k=1, r=share) for share in (0.0, 0.25, 0.5, 0.75, 0.9)],
    }[name]


@pytest.mark.parametrize("name", ["pyramiddrop", "sparsevlm", "fastv"])
def test_cost_falls_with_the_budget(model, name):
    prompt, costs = random_prompt(model, (64,), seed=1), []
    for pruner in ladder(name):
        _, state = prefill(model, pruner, [prompt])
        plan = LayerPlan(tuple(LayerStep(VisionMode.FULL, count) for count in state.vision_lengths[0]))
        text = len(prompt.text_positions)
        costs.append(prefill_flops(decoder_shape(model.config), plan, text_tokens=text, readers=text).total())
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)


@pytest.mark.parametrize("pruner", CASES)
def test_equal_scores_keep_the_first_tokens(pruner):
    answer = pruner.prune(view_of(torch.full((4, 40, 40), 1 / 40), 3, 30))
    assert answer.keep.tolist() == list(range(len(answer.keep)))
    assert len(answer.keep) < 30


@pytest.mark.parametrize("pruner", CASES)
def test_a_constant_image_gives_no_nan(model, pruner):
    prompt = random_prompt(model, (40,), seed=1)
    recording = Recording(pruner)
    _, state = prefill(model, recording, [replace(prompt, vision=torch.ones_like(prompt.vision))])
    assert torch.isfinite(state.logits).all()
    assert all(torch.isfinite(scores).all() for scores in recording.scores)
    for answer in recording.answers:
        assert answer.keep.tolist() == sorted(set(answer.keep.tolist()))


@pytest.mark.parametrize("pruner", CASES)
def test_biases_and_every_key_head_matter_as_in_the_layer(model, prompts, pruner):
    """The rows are those of an eager forward of the same stock layer, biases and grouped heads included."""
    recording = Recording(pruner)
    with torch.inference_mode():
        prefill(model, recording, [prompts[0]])
        view = recording.views[0]
        number = recording.stages(LAYERS, None)[0]
        queries = torch.tensor([2, view.length - 4, view.length - 1])
        for layer, states, rows in [
            (model.layers[number - 1], view.before, view.attention_rows),
            (model.layers[number], view.after, view.next_attention_rows),
        ]:
            expected = eager_attention(model, layer, states, view.positions)
            torch.testing.assert_close(rows(queries), expected[:, queries], atol=1e-6, rtol=1e-5)


def eager_attention(model, layer, states, positions):
    """[heads, length, length], from transformers' own eager code."""
    normed = layer.input_layernorm(states)[None]
    before, model.config._attn_implementation = model.config._attn_implementation, "eager"
    try:
        mask = torch.full((len(states), len(states)), float("-inf")).triu(1)[None, None]
        rotary = model.rotary_emb(states[None], positions[None])
        return layer.self_attn(normed, attention_mask=mask, position_embeddings=rotary)[1][0]
    finally:
        model.config._attn_implementation = before


@pytest.mark.parametrize("pruner", CASES)
def test_half_precision_runs(prompts, pruner):
    half = random_model(LAYERS).to(torch.bfloat16)
    prompts = [replace(p, text=p.text.bfloat16(), vision=p.vision.bfloat16()) for p in prompts]
    decoder, state = prefill(half, pruner, prompts, head=random_head(half).to(torch.bfloat16))
    _, logits = greedy(decoder, state, steps=2)
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()


def test_reconstructed_tokens_stand_behind_the_last_image_even_if_it_is_gone(model):
    """Text 0-3, image 4-7, text 8-9, image 10-12, text 13-: all but token 5 go, one comes back at 10."""
    prompt = random_prompt(model, (4, 3), suffix=2)
    batch = Batch([prompt], lambda states, _: (states, states))
    before = batch.row(0).states
    extra = torch.full((1, before.shape[1]), 7.0)
    batch.prune({0: Pruned(keep=torch.tensor([1]), extra=extra)}, renumber=True)
    expected = torch.cat([before[:4], before[5:6], before[8:10], extra, before[13:]])
    assert torch.equal(batch.row(0).states, expected)
    assert batch.row(0).vision.nonzero().flatten().tolist() == [4, 7]
    assert batch.row(0).positions.tolist() == list(range(len(expected)))


@dataclass(frozen=True)
class Misbehaving:
    """Says what the runtime cannot do."""

    layers: tuple[int, ...] = (2,)
    positions: ClassVar[Positions] = "preserve"

    def stages(self, layers, group):
        return self.layers

    def prune(self, view):
        return Pruned(keep=keep_all(view).keep, extra=view.after[:1])

    def flops(self, view, pruned):
        return 0


@pytest.mark.parametrize("layers", [(0,), (LAYERS,), (3, 2), (2, 2)], ids=str)
def test_impossible_stages_are_refused(model, prompts, layers):
    with pytest.raises(ValueError, match=r"stages must ascend within 1\.\.5"):
        prefill(model, Misbehaving(layers), prompts)


def test_new_tokens_need_new_positions(model, prompts):
    with pytest.raises(ValueError, match="must renumber"):
        prefill(model, Misbehaving(), prompts)


def test_a_sparse_plan_cannot_be_pruned(model, prompts):
    decoder = SparseDecoder(model, random_head(model), pruner=FastV())
    with pytest.raises(ValueError, match="every layer"):
        decoder.prefill(prompts, FixedChoice((1, 4)))
    assert len(every_layer(model).shared) == LAYERS
