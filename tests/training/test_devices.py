"""Training runs where the model is: nothing in the loop makes tensors on a device of its own choice."""

import pytest
import torch

from visor_baselines.m3 import M3
from visor_baselines.vispruner import VisPruner
from visor_eval.models.reduction import Reduction
from visor_eval.training import recipes
from visor_eval.training.evaluate import evaluate
from visor_eval.training.loop import Member, train
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.router import routing_logits
from visor_eval.training.state import STATE
from visor_eval.training.stream import QuestionTokens, Stream
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_eval.visor.packing import TokenPacking

REDUCERS = [M3(factor=4.0), VisPruner(), TokenPacking(factor=2.0)]


class OnCpu(Stream):
    """Draws its batches on the CPU, wherever tensors are made otherwise."""

    def batch(self, *arguments):
        with torch.device("cpu"):
            return super().batch(*arguments)


def stream_of(tokenizer):
    return OnCpu(QuestionTokens(tokenizer), ("gqa",), "train", 0, images=2, questions=2)


def trained(tokenizer, model, visor, folder, device="cpu"):
    """Weights after three steps."""
    recipe = recipes.universal(steps=3, images=2, questions=2, compiled=False, bfloat16=False, warmup_steps=2)
    member = Member(model, visor).to(torch.device(device))
    train(member, recipe, stream_of(tokenizer), None, folder)
    return {name: value.detach().to("cpu", copy=True) for name, value in member.parameters().items()}


def test_the_loop_names_a_device_for_every_tensor(tokenizer, model, visor, tmp_path):
    start = {name: value.detach().clone() for name, value in Member(model, visor).parameters().items()}
    expected = trained(tokenizer, model, visor, tmp_path / "plain")
    with torch.no_grad():
        for name, value in Member(model, visor).parameters().items():
            value.copy_(start[name])
    with torch.device("meta"):  # whatever is made without a device has no values there, and fits nowhere
        found = trained(tokenizer, model, visor, tmp_path / "meta")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (tmp_path / "meta" / STATE).exists()


def test_evaluation_and_router_do_so_too(tokenizer, model):
    config = VisorConfig(candidates=(1, 4), read_layers=(2, 5), configurations=((1,), (1, 4)), router=True)
    packed = PackedModel(model, VisorModules(config, model.config.text_config))
    batch = stream_of(tokenizer).batch(0)
    with torch.device("meta"):
        found = evaluate(packed, [batch], {"1": StepPlan.of(packed.visor, (1,))})
        logits = routing_logits(packed, batch, QuestionTokens(tokenizer))
    assert found["1"]["gqa"].asked > 0
    assert logits.device.type == "cpu"


@pytest.mark.parametrize("reducer", REDUCERS, ids=lambda reducer: type(reducer).__name__)
def test_reducers_do_so_too(tokenizer, model, reducer):
    packed, batch = PackedModel(model), stream_of(tokenizer).batch(0).packed
    expected = packed.vision_tokens(batch, Reduction((reducer,)))
    with torch.device("meta"):
        found = packed.vision_tokens(batch, Reduction((reducer,)))
    assert torch.equal(found, expected)


@pytest.mark.gpu
def test_a_gpu_trains_the_same_model_and_resumes(tokenizer, model, visor, tmp_path):
    start = {name: value.detach().clone() for name, value in Member(model, visor).parameters().items()}
    expected = trained(tokenizer, model, visor, tmp_path / "cpu")
    with torch.no_grad():
        for name, value in Member(model, visor).parameters().items():
            value.copy_(start[name])
    found = trained(tokenizer, model, visor, tmp_path / "gpu", "cuda")
    for name in expected:  # those biases have no effect on the loss: their gradients are rounding only
        if not ("blocks" in name and name.endswith("k_proj.bias")):
            torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=0, msg=name)
    again = trained(tokenizer, model, visor, tmp_path / "gpu", "cuda")
    assert all(torch.equal(again[name], found[name]) for name in found)
