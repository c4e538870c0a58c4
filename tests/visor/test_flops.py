"""Invariant 6: the recorded cost is what was dispatched, to the last unit; full size on the meta device."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model

from tests.visor.conftest import random_modules
from visor_eval.cost import LayerPlan, Reader, VisorShape, configurations, sample_cost
from visor_eval.cost import backbone as preset
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.engine import Engine
from visor_eval.models.sequence import Prompt
from visor_eval.models.shapes import decoder_config
from visor_eval.visor.build import build_visor_zero, visor_engine
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_eval.visor.readers import AddedBlock, StaleKeys


def engines(backbone, shape, modules):
    yield "dense", Engine(backbone, shape)
    yield "router", visor_engine(backbone, modules)
    yield "none", visor_engine(backbone, modules, config="none")
    for configuration in configurations(24)[::4]:
        yield str(configuration), visor_engine(backbone, modules, config=",".join(map(str, configuration)))
    yield "tr-2", visor_engine(backbone, random_modules(backbone, packing=2.0), config="1,4")
    yield "tr-4", visor_engine(backbone, random_modules(backbone, packing=4.0), config="1,4,7,16")
    yield "zero", build_visor_zero(backbone)
    yield "zero [1,4]", build_visor_zero(backbone, config="1,4")


def test_recorded_equals_dispatched(backbone, shape, modules, requests):
    for name, engine in engines(backbone, shape, modules):
        for request in requests if name in ("dense", "router") else [requests[2], requests[-2], requests[-1]]:
            with FlopCounterMode(display=False) as counter:
                cost = engine.answer([request])[0].cost
            recorded = cost.prefill.total() + cost.decode.total()
            assert recorded == counter.get_total_flops(), (name, request.prompt)
            assert cost.total("end_to_end") == recorded


def test_dense_counterpart_is_what_dense_records(backbone, shape, modules, requests):
    dense, sparse = Engine(backbone, shape), visor_engine(backbone, modules)
    for request in requests:
        generated = sparse.answer([request])[0]
        same_length = Engine(backbone, shape).answer([request])[0]
        assert generated.cost.dense_prefill == same_length.cost.prefill
        assert generated.cost.dense_vision_tokens == same_length.cost.vision_tokens
    assert dense.answer([requests[0]])[0].cost.total() == dense.answer([requests[0]])[0].cost.dense_total()


FULL_SIZE = preset("llava-ov-0.5b").decoder


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        config = decoder_config(FULL_SIZE)
        modules = VisorModules(VisorConfig.for_layers(FULL_SIZE.layers), config)
        return Qwen2Model(config), torch.nn.Linear(FULL_SIZE.hidden, FULL_SIZE.vocab, bias=False), modules


@pytest.mark.parametrize("kind", ["dense", "added", "own"])
@pytest.mark.parametrize("vision", [729, 7290])
@pytest.mark.parametrize("configuration", [(), (1, 4), (1, 4, 7, 10, 16, 19, 22)], ids=str)
def test_full_size_on_the_meta_device(full_size, kind, vision, configuration):
    model, lm_head, modules = full_size
    text, prefix, layers = 32, 14, FULL_SIZE.layers
    if kind == "dense":
        configuration, readers = tuple(range(1, layers + 1)), {}
    elif kind == "added":
        readers = {int(layer): AddedBlock(block) for layer, block in modules.blocks.items()}
    else:
        readers = {layer: StaleKeys() for layer in modules.config.read_layers}
    place = torch.arange(text, device="meta")
    prompt = MetaPrompt(
        text=torch.empty(text, FULL_SIZE.hidden, device="meta"),
        vision=torch.empty(vision, FULL_SIZE.hidden, device="meta"),
        text_positions=place,
        vision_positions=torch.arange(vision, device="meta"),
        image_lengths=(vision,),
    )
    decoder = SparseDecoder(model, lm_head, readers)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        state = decoder.prefill([prompt], FixedChoice(configuration))
        prefill = counter.get_total_flops()
        decoder.decode(torch.zeros(1, dtype=torch.long, device="meta"), state)
    plan = LayerPlan.sparse(
        layers, vision, full=configuration, read=readers, reader=Reader("own" if kind == "own" else "added")
    )
    shape = preset("llava-ov-0.5b")
    cost = sample_cost(
        type(shape)(name="decoder", decoder=FULL_SIZE, visor=VisorShape(read_layers=modules.config.read_layers)),
        plan,
        prefix_tokens=prefix,
        text_tokens=text,
        tiles=0,
        generated_tokens=2,
    )
    assert cost.prefill.total() == prefill
    assert cost.decode.total() == counter.get_total_flops() - prefill


class MetaPrompt(Prompt):
    """A prompt whose positions have no values."""

    @property
    def prefix_tokens(self) -> int:
        return 14
