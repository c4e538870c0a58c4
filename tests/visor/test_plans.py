"""Invariants 2, 3, 4 for VISOR: cache, batches, zero gates; every configuration and both readers."""

import pytest
import torch

from tests.conftest import picture
from tests.models.test_dense import prefill
from tests.visor.conftest import random_modules
from visor_eval.cost import PAPER_CONFIGURATIONS
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.engine import Request
from visor_eval.models.sequence import Batch
from visor_eval.visor.build import build_visor_zero, visor_engine
from visor_eval.visor.readers import AddedBlock

CONFIGURATIONS = [(), (4,), *PAPER_CONFIGURATIONS]


def recomputed(engine, request, configuration):
    """Greedy tokens without a cache: every step prefills prompt and answer anew, with the configuration frozen."""
    backbone = engine.backbone
    images = backbone.encode(backbone.tile([request.images]), engine.reduction)[0].sequences
    ids, tokens = backbone.token_ids(request.prompt, len(request.images)), []
    with torch.inference_mode():
        for _ in range(request.max_new_tokens):
            row = torch.cat([ids, ids.new_tensor(tokens)])
            state = engine.decoder.prefill([backbone.prompt(row, images)], FixedChoice(configuration))
            tokens.append(int(state.logits.argmax()))
            if tokens[-1] in backbone.end_tokens:
                break
    return tuple(tokens)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_cached_equals_recomputed_and_batched_equals_single(backbone, modules, requests, configuration):
    engine = visor_engine(backbone, modules, config=",".join(map(str, configuration)) or "none")
    batched = [answer.token_ids for answer in engine.answer(requests)]
    assert batched == [engine.answer([request])[0].token_ids for request in requests]
    for request, tokens in zip(requests[:3] + requests[-2:], batched[:3] + batched[-2:], strict=True):
        assert recomputed(engine, request, configuration) == tokens


@pytest.mark.parametrize("configuration", [(1, 4), (1, 4, 7, 10, 16, 19, 22)], ids=str)
def test_visor_zero_cached_and_batched(backbone, requests, configuration):
    engine = build_visor_zero(backbone, config=",".join(map(str, configuration)))
    batched = [answer.token_ids for answer in engine.answer(requests)]
    assert batched == [engine.answer([request])[0].token_ids for request in requests]
    for request, tokens in zip(requests, batched, strict=True):
        assert recomputed(engine, request, configuration) == tokens


def test_visor_zero_with_every_candidate_full_and_no_reader_left_equals_dense(backbone, shape, requests):
    from visor_eval.models.engine import Engine

    layers = shape.decoder.layers
    engine = build_visor_zero(backbone)
    engine.chooser = FixedChoice(tuple(range(1, layers + 1)))
    assert [a.token_ids for a in engine.answer(requests)] == [
        a.token_ids for a in Engine(backbone, shape).answer(requests)
    ]


def test_router_choices_mix_in_one_batch_and_equal_the_fixed_configurations(backbone, modules, requests):
    routed = visor_engine(backbone, modules, config="router")
    answers = routed.answer(requests)
    chosen = [answer.cost.configuration for answer in answers]
    assert len(set(chosen)) > 1, "the random router must disagree within the batch for this test to test something"
    for request, answer in zip(requests, answers, strict=True):
        fixed = visor_engine(backbone, modules, config=",".join(map(str, answer.cost.configuration)))
        assert routed.answer([request])[0].cost.configuration == answer.cost.configuration
        assert fixed.answer([request])[0].token_ids == answer.token_ids


def test_untrained_conversion_is_the_text_path_exactly(backbone, requests):
    closed = random_modules(backbone, gate=0.0)
    readers = {int(layer): AddedBlock(block) for layer, block in closed.blocks.items()}
    for configuration in [(), (1, 4), (1, 4, 16)]:
        choice = FixedChoice(configuration)
        _, with_blocks = prefill(backbone, requests, choice, readers)
        _, without = prefill(backbone, requests, choice)
        torch.testing.assert_close(with_blocks.logits, without.logits, atol=0, rtol=0)


def test_text_before_an_image_does_not_read_it(backbone, modules):
    """Changing the second image must not change what stands before it, nor text-only layers anything at all."""
    readers = {int(layer): AddedBlock(block) for layer, block in modules.blocks.items()}
    backbone_ids = backbone.token_ids("what is the colour", 2)
    states = []
    for seed in (1, 2):
        images = backbone.encode(backbone.tile([(picture(56, 56, 0), picture(56, 56, seed))]))[0].sequences
        decoder = SparseDecoder(backbone.language_model, backbone.lm_head, readers)
        with torch.inference_mode():
            batch = Batch([backbone.prompt(backbone_ids, images)], decoder.rotary)
            for number in range(1, len(decoder.layers) + 1):
                decoder.run_layer(number, batch, [0] if number in (1, 4) else [])
            states.append((batch.text.states[0], batch.text.positions[0]))
    second = 1 + len(images[0])  # the prefix is one token long before the first image in this template
    early = states[0][1] < second
    assert early.any()
    assert torch.equal(states[0][0][early], states[1][0][early])
    assert not torch.equal(states[0][0][~early], states[1][0][~early])


def test_sampling_is_reproducible_and_greedy_at_zero(backbone, modules):
    from visor_eval.models.generation import Sampling

    request = Request(images=(picture(56, 56),), prompt="what is", max_new_tokens=8)
    draws = [
        visor_engine(backbone, modules, config="1,4", sampling=sampling).answer([request])[0].token_ids
        for sampling in (
            Sampling(temperature=2.0, seed=1),
            Sampling(temperature=2.0, seed=1),
            Sampling(temperature=2.0, seed=2),
        )
    ]
    assert draws[0] == draws[1] != draws[2]
    tiny = visor_engine(backbone, modules, config="1,4", sampling=Sampling(temperature=5.0, top_p=1e-6)).answer(
        [request]
    )
    assert tiny[0].token_ids == visor_engine(backbone, modules, config="1,4").answer([request])[0].token_ids
