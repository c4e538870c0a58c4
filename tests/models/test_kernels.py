"""The switch for kernels: same numbers, same FLOPs, and nothing left behind."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.models.test_dense import prefill
from tests.visor.conftest import random_modules
from visor_eval.errors import SetupError
from visor_eval.models.decoder import FixedChoice
from visor_eval.models.kernels import kernels
from visor_eval.models.packed_linear import packed_linears
from visor_eval.visor.readers import AddedBlock

PLANS = [None, (1, 4), ()]  # None: dense


def run(backbone, requests, plan, name):
    """Logits of the prefill and of two decode steps."""
    modules = random_modules(backbone)
    readers = {} if plan is None else {int(layer): AddedBlock(block) for layer, block in modules.blocks.items()}
    choice = None if plan is None else FixedChoice(plan)
    decoder, _ = prefill(backbone, requests[:1], choice, readers)
    with kernels(name, [decoder]), torch.inference_mode():
        _, state = prefill(backbone, requests, choice, readers)
        logits = [state.logits]
        for _ in range(2):
            state = decoder.decode(torch.full((len(requests),), 7), state)
            logits.append(state.logits)
    return torch.stack(logits)


@pytest.mark.parametrize("plan", PLANS)
def test_packed_weights_change_nothing_but_rounding(backbone, requests, plan):
    stock, packed = (run(backbone, requests, plan, name) for name in ("stock", "packed"))
    torch.testing.assert_close(packed, stock, atol=2e-5, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS[:2])
def test_compiled_layers_change_nothing_but_rounding(backbone, requests, plan):
    stock, compiled = (run(backbone, requests, plan, name) for name in ("stock", "compiled"))
    torch.testing.assert_close(compiled, stock, atol=2e-5, rtol=2e-5)


def test_the_modules_are_restored_exactly(backbone, requests):
    layer = backbone.language_model.layers[0]
    run(backbone, requests[:1], None, "packed")
    assert "forward" not in layer.mlp.up_proj.__dict__
    with pytest.raises(ZeroDivisionError), packed_linears(layer):
        assert 1 / ("forward" not in layer.mlp.up_proj.__dict__)
    assert "forward" not in layer.mlp.up_proj.__dict__


def _linear_flops(states, weight, *_, out_shape, **__):
    return 2 * torch.Size(out_shape).numel() * states[-1]


COUNTED = {torch.ops.mkldnn._linear_pointwise: _linear_flops}


def test_packed_layers_dispatch_the_same_flops():
    torch.manual_seed(0)
    layer, states = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 8, bias=False)), torch.randn(2, 5, 24)

    with FlopCounterMode(display=False) as stock:
        layer(states)
    with packed_linears(layer), FlopCounterMode(display=False, custom_mapping=COUNTED) as packed:
        layer(states)
    assert packed.get_total_flops() == stock.get_total_flops() == 2 * 2 * 5 * (24 * 40 + 40 * 8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 40), (24, 41), (40, 24)])
def test_a_single_row_meets_the_same_weights(inputs, outputs, bias):
    torch.manual_seed(0)
    layer = nn.Linear(inputs, outputs, bias=bias)
    for row in (torch.randn(1, inputs), torch.randn(1, 3, inputs)[:, 1:2]):
        with FlopCounterMode(display=False) as stock:
            expected = layer(row)
        for packed in (packed_linears(layer), packed_linears(heads=[layer])):
            with packed, FlopCounterMode(display=False) as counter:
                torch.testing.assert_close(layer(row), expected, atol=1e-6, rtol=1e-6)
            assert counter.get_total_flops() == stock.get_total_flops() == 2 * inputs * outputs


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(SetupError, match="float64"), packed_linears(nn.Linear(4, 4).double()):
        pass
    with pytest.raises(SetupError, match="stock, packed, compiled"), kernels("fast", []):
        pass
