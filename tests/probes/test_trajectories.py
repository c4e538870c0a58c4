"""The vision states that CKA compares: transformers' own hidden states for dense, the plan's for anything else."""

import pytest
import torch

from tests.conftest import picture
from tests.models.test_dense import stock_inputs
from visor_baselines.fastv import FastV
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.engine import Engine, Request
from visor_eval.probes.trajectories import WatchedDecoder
from visor_eval.visor.build import build_visor_zero


def watch(engine, requests):
    with torch.inference_mode():
        prompts, _ = engine.read(requests)
        return WatchedDecoder(engine.decoder).watch(prompts, engine.chooser)


def test_dense_states_are_transformers_hidden_states(backbone, shape, requests):
    for request, trajectory in zip(requests, watch(Engine(backbone, shape), requests), strict=True):
        inputs = stock_inputs(backbone, request)
        hidden = backbone.model(**inputs, output_hidden_states=True).hidden_states
        vision = inputs["input_ids"][0] == backbone.model.config.image_token_id
        assert trajectory.states == list(range(25))
        assert trajectory.configuration == tuple(range(1, 25))
        for ours, theirs in zip(trajectory.distinct[:-1], hidden[:-1], strict=True):
            torch.testing.assert_close(ours, theirs[0, vision], atol=2e-4, rtol=2e-4)
        last = backbone.language_model.norm(trajectory.distinct[-1])  # transformers gives the last one normalised
        torch.testing.assert_close(last, hidden[-1][0, vision], atol=2e-4, rtol=2e-4)


def test_layers_that_a_plan_keeps_from_the_vision_tokens_repeat_the_state(backbone, requests):
    engine = build_visor_zero(backbone, config="1,7,16")
    for trajectory in watch(engine, requests[:3]):
        assert len(trajectory.distinct) == 4
        assert trajectory.states == [0, *[1] * 6, *[2] * 9, *[3] * 9]
        assert not torch.equal(trajectory.distinct[1], trajectory.distinct[2])


class Mixed:
    """Another configuration for every second row, chosen after layer 3."""

    shared, probe_layer, token = (1,), 3, torch.zeros(32)

    def choose(self, states, rows):
        return [(1, 4) if row % 2 else (1, 10, 16) for row in range(rows)]


def test_rows_with_different_configurations_equal_those_run_alone(backbone, shape, requests):
    engine = Engine(backbone, shape, chooser=Mixed())
    together = watch(engine, requests[:4])
    assert [trajectory.configuration for trajectory in together] == [(1, 10, 16), (1, 4)] * 2
    for request, trajectory in zip(requests[:4], together, strict=True):
        engine = Engine(backbone, shape, chooser=FixedChoice(trajectory.configuration))
        (alone,) = watch(engine, [request])
        assert alone.states == trajectory.states
        for ours, theirs in zip(trajectory.distinct, alone.distinct, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)


def test_watching_changes_no_logits(backbone, shape, requests):
    engine = Engine(backbone, shape)
    with torch.inference_mode():
        prompts, _ = engine.read(requests)
        expected = engine.decoder.prefill(prompts, engine.chooser).logits
        watched = WatchedDecoder(engine.decoder).prefill(prompts, engine.chooser).logits
    assert torch.equal(watched, expected)


def test_states_of_different_tokens_are_not_compared(backbone):
    decoder = SparseDecoder(backbone.language_model, backbone.lm_head, pruner=FastV())
    with pytest.raises(ValueError, match="different tokens"):
        WatchedDecoder(decoder)


def test_a_text_without_an_image_has_no_vision_states(backbone, shape):
    one, none = watch(
        Engine(backbone, shape), [Request(images=(picture(56, 56),), prompt="what"), Request(images=(), prompt="what")]
    )
    assert len(one.distinct[5]) > 0
    assert all(len(state) == 0 for state in none.distinct)
