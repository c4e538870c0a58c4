"""Invariant 1: the dense plan is the untouched transformers model."""

import pytest
import torch

from tests.conftest import picture
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.engine import Engine, Request
from visor_eval.models.reduction import UNREDUCED


def stock_inputs(backbone, request):
    content = [{"type": "image"}] * len(request.images) + [{"type": "text", "text": request.prompt}]
    text = backbone.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = {"images": [list(request.images)]} if request.images else {}
    return backbone.processor(text=[text], **images, return_tensors="pt")


def prefill(backbone, requests, chooser=None, readers=None, reduction=UNREDUCED):
    layers = len(backbone.language_model.layers)
    encoded = backbone.encode(backbone.tile([request.images for request in requests]), reduction)
    prompts = [
        backbone.prompt(backbone.token_ids(request.prompt, len(request.images)), images.sequences)
        for request, images in zip(requests, encoded, strict=True)
    ]
    decoder = SparseDecoder(backbone.language_model, backbone.lm_head, readers)
    with torch.inference_mode():
        return decoder, decoder.prefill(prompts, chooser or FixedChoice(tuple(range(1, layers + 1))))


def test_logits_equal_transformers(backbone, requests):
    for request in requests:
        expected = backbone.model(**stock_inputs(backbone, request)).logits[:, -1]
        _, state = prefill(backbone, [request])
        torch.testing.assert_close(state.logits, expected, atol=1e-5, rtol=1e-5)


def test_greedy_text_equals_transformers(backbone, shape, requests):
    engine = Engine(backbone, shape)
    for request in requests:
        inputs = stock_inputs(backbone, request)
        expected = backbone.model.generate(**inputs, max_new_tokens=6, do_sample=False)[
            0, inputs["input_ids"].shape[1] :
        ]
        assert list(engine.answer([request])[0].token_ids) == expected.tolist()


def test_batched_equals_one_by_one(backbone, shape, requests):
    engine = Engine(backbone, shape)
    batched = engine.answer(requests)
    assert [a.token_ids for a in batched] == [engine.answer([request])[0].token_ids for request in requests]
    _, together = prefill(backbone, requests)
    alone = torch.cat([prefill(backbone, [request])[1].logits for request in requests])
    torch.testing.assert_close(together.logits, alone, atol=1e-4, rtol=1e-4)  # other kernels for other shapes


def test_dense_vision_token_count_is_the_real_one(backbone, requests):
    for request, images in zip(requests, backbone.encode(backbone.tile([r.images for r in requests])), strict=True):
        assert sum(len(sequence) for sequence in images.sequences) == backbone.dense_counts(request.images)[1]


@pytest.mark.parametrize("stop", ["e", "the"])
def test_stop_strings_end_and_are_cut(backbone, shape, stop):
    request = Request(images=(picture(56, 56),), prompt="what is", max_new_tokens=40)
    engine = Engine(backbone, shape)
    free = engine.answer([request])[0]
    stopped = engine.answer([Request(images=request.images, prompt="what is", max_new_tokens=40, stop=(stop,))])[0]
    assert stop not in stopped.text
    assert stopped.text == free.text.split(stop)[0].strip()
    assert stopped.token_ids == free.token_ids[: len(stopped.token_ids)]


def test_importing_and_running_leaves_the_model_as_it_was(backbone, shape):
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    forward = type(backbone.language_model.layers[0]).forward
    Engine(backbone, shape).answer([Request(images=(picture(56, 56),), prompt="what", max_new_tokens=2)])
    assert type(backbone.language_model.layers[0]).forward is forward
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())
