"""Question-packed training computes what one question at a time computes at inference."""

import pytest
import torch
from PIL import Image

from tests.training.conftest import open_modules
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.training.initialise import BLOCK_COPY, STOCK_COPY, add_visor, prepare_attention
from visor_eval.training.packed import IGNORED, PackedModel, StepPlan
from visor_eval.training.stream import QuestionTokens, layout_of, pack_items
from visor_eval.visor.readers import AddedBlock
from visor_tasks.mini import stream_item

CASES = [("gqa", 2), ("docvqa_val", 1), ("infovqa_val", 1)]


def batch_of(tokenizer, task, images):
    """Items of one layout, packed."""
    items, index = [], 0
    while len(items) < images:
        item = stream_item("train", task, 3, index, questions=3)
        if not items or layout_of(item) == layout_of(items[0]):
            items.append(item)
        index += 1
    return pack_items(items, QuestionTokens(tokenizer), 3)


def single(processor, item, question):
    """The stock processor's inputs for one question, its answer appended, and the number of prompt tokens."""
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.prompt}]}]
    text = processor.apply_chat_template(message, add_generation_prompt=True)
    prompt = processor(images=[Image.fromarray(item.image)], text=[text], return_tensors="pt")
    whole = processor(images=[Image.fromarray(item.image)], text=[text + question.answers[0]], return_tensors="pt")
    return whole, prompt["input_ids"].shape[1]


def packed_rows(packed, batch, plan):
    """Answer logits question by question."""
    with torch.no_grad():
        logits, _ = packed.answer_logits(batch.packed, plan)
    counts = (batch.packed.labels.flatten(0, 1) != IGNORED).sum(-1).tolist()
    return logits.split(counts)


def pairs(batch):
    """Item and question of every row that is not padding."""
    per_image = batch.packed.tokens.shape[1]
    return [
        (row, batch.items[row // per_image], question)
        for row, question in enumerate(batch.questions)
        if question is not None
    ]


def assert_dense_is_stock(tokenizer, processor, model, task, images):
    batch = batch_of(tokenizer, task, images)
    rows = packed_rows(PackedModel(model), batch, StepPlan.dense(6))
    for row, item, question in pairs(batch):
        inputs, prompt = single(processor, item, question)
        with torch.no_grad():
            expected = model(**inputs).logits[0, prompt - 1 :]
        torch.testing.assert_close(rows[row], expected, atol=1e-4, rtol=0)


def assert_sparse_is_runtime(tokenizer, processor, model, visor, task, images, configuration):
    batch = batch_of(tokenizer, task, images)
    rows = packed_rows(PackedModel(model, visor), batch, StepPlan.sparse(configuration, (2, 5)))
    backbone = LlavaOnevision(model.eval(), processor)
    readers = {int(number): AddedBlock(block) for number, block in visor.blocks.items()}
    decoder = SparseDecoder(backbone.language_model, backbone.lm_head, readers)
    for row, item, question in pairs(batch):
        with torch.no_grad():
            ids = backbone.token_ids(question.prompt, 1)
            encoded = backbone.encode(backbone.tile([[Image.fromarray(item.image)]]))[0]
            prompt = backbone.prompt(ids, encoded.sequences)
            state = decoder.prefill([prompt], FixedChoice(configuration))
            steps = [state.logits[0]]
            for token in tokenizer.encode(question.answers[0], add_special_tokens=False):
                state = decoder.decode(torch.tensor([token]), state)
                steps.append(state.logits[0])
        torch.testing.assert_close(rows[row], torch.stack(steps), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("task", "images"), CASES)
def test_dense_equals_the_untouched_model(tokenizer, processor, model, task, images):
    assert_dense_is_stock(tokenizer, processor, model, task, images)


@pytest.mark.parametrize("biased", [True, False])
def test_dense_equals_the_untouched_model_with_grouped_heads(tokenizer, processor, grouped, biased):
    if not biased:
        for layer in grouped.model.language_model.layers:
            for name in ("q_proj", "k_proj", "v_proj"):
                getattr(layer.self_attn, name).bias = None
    assert_dense_is_stock(tokenizer, processor, grouped, "docvqa_val", 1)


@pytest.mark.parametrize("configuration", [(), (1,), (1, 4)])
@pytest.mark.parametrize(("task", "images"), CASES)
def test_sparse_equals_the_runtime(tokenizer, processor, model, visor, task, images, configuration):
    assert_sparse_is_runtime(tokenizer, processor, model, visor, task, images, configuration)


@pytest.mark.parametrize("configuration", [(), (1, 4)])
def test_sparse_equals_the_runtime_with_grouped_heads(tokenizer, processor, grouped, configuration):
    visor = open_modules(grouped)
    assert_sparse_is_runtime(tokenizer, processor, grouped, visor, "docvqa_val", 1, configuration)


def test_values_pass_through_grouped_heads(grouped):
    prepare_attention(grouped)
    modules = add_visor(grouped)
    for attention in (grouped.model.language_model.layers[0].self_attn, modules.blocks["2"]):
        values, out = attention.v_proj.weight, attention.o_proj.weight
        read = values.view(2, 12, 32).repeat_interleave(2, dim=0).reshape(48, 32)  # what the four heads carry
        size = STOCK_COPY if attention is not modules.blocks["2"] else BLOCK_COPY
        torch.testing.assert_close(out @ read, size * values.T @ values)


def test_questions_do_not_see_each_other(tokenizer, model, visor):
    packed, batch = PackedModel(model, visor), batch_of(tokenizer, "gqa", 1)
    plan = StepPlan.sparse((1, 4), (2, 5))
    with torch.no_grad():
        before = packed.hidden(batch.packed, plan)[0]
        batch.packed.tokens[0, 1:] = 5
        after = packed.hidden(batch.packed, plan)[0]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=0)


def test_bfloat16_is_the_same_function(tokenizer, model, visor):
    batch, plan = batch_of(tokenizer, "gqa", 2), StepPlan.sparse((1,), (2,))
    plain = PackedModel(model, visor, torch.bfloat16)
    with torch.no_grad():
        exact = PackedModel(model, visor).answer_logits(batch.packed, plan)[0]
        rounded = plain.answer_logits(batch.packed, plan)[0]
    assert (exact - rounded).abs().max() < 0.1  # bfloat16 rounding, not another function
