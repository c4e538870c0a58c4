"""The language loop takes tiles, prompts and widths from the model: another LLaVA-OneVision trains by the same code."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaOnevisionForConditionalGeneration

from tests.training.conftest import TINY
from tests.training.test_packed import packed_rows, pairs, single
from visor_eval.training import stages
from visor_eval.training.family import build_config, build_processor, save_folder
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.pixels import embedded, stock
from visor_eval.training.recipes import FOUNDATION, LanguageRecipe, branch
from visor_eval.training.state import STATE
from visor_eval.training.stream import QuestionTokens, layout_of, pack_items
from visor_eval.training.tokenizer import build_tokenizer
from visor_tasks.mini import PHRASES, WORDS, stream_item

SIDE, PATCH = 96, 12
PINPOINTS = [[SIDE * rows, SIDE * columns] for rows in range(1, 4) for columns in range(1, 4)]
TEMPLATE = (  # two tokens before the image, a line break behind it
    "{% for message in messages %}{{ '<|im_start|>user X' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|><|im_start|>assistant\n' }}{% endfor %}"
)


@pytest.fixture(scope="module")
def processor():
    """Tiles of 96 px; its own tokenizer, since it has a template of its own."""
    found = build_processor(build_tokenizer(PHRASES, WORDS))
    half = [0.5, 0.4, 0.3]
    found.image_processor = type(found.image_processor)(
        size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=PINPOINTS, image_mean=half, image_std=half
    )
    found.num_image_tokens = (SIDE // PATCH) ** 2
    found.chat_template = found.tokenizer.chat_template = TEMPLATE
    return found


@pytest.fixture
def model(processor):
    """8 x 8 patches a tile, 4 query heads on 2 key heads."""
    config = build_config(processor.tokenizer, TINY)
    config.text_config.num_attention_heads, config.text_config.num_key_value_heads = 4, 2
    config.vision_config.image_size, config.vision_config.patch_size = SIDE, PATCH
    config.image_grid_pinpoints = PINPOINTS
    torch.manual_seed(0)
    model = LlavaOnevisionForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter.shape[-1] ** -0.5)
    return model


@pytest.mark.parametrize("task", ["gqa", "docvqa_val", "infovqa_val"])
def test_dense_equals_the_untouched_model(processor, model, task):
    item = next(
        item
        for item in (stream_item("train", task, 3, index, questions=2) for index in range(200))
        if task != "infovqa_val" or layout_of(item) == (2, 3)  # 112 x 168 px: the canvas of 192 x 192 is padded
    )
    batch = pack_items([item], QuestionTokens.of(processor), 2)
    assert batch.packed.prefix == 2
    rows = packed_rows(PackedModel(model), batch, StepPlan.dense(6))
    for row, item, question in pairs(batch):
        inputs, prompt = single(processor, item, question)
        with torch.no_grad():
            expected = model(**inputs).logits[0, prompt - 1 :]
        torch.testing.assert_close(rows[row], expected, atol=1e-4, rtol=0)


def test_tiles_are_the_processors_own(processor):
    images = np.random.default_rng(0).integers(0, 256, (2, 112, 168, 3), dtype=np.uint8)
    tiled = stock(processor.image_processor, torch.from_numpy(images).permute(0, 3, 1, 2))
    alone = processor.image_processor(Image.fromarray(images[1]), return_tensors="pt")["pixel_values"]
    assert (tiled.rows, tiled.columns) == (2, 2)  # of 192 px, padded
    torch.testing.assert_close(tiled.pixels[1], alone[0])


def test_the_embedded_family_reads_as_ever(tokenizer):
    ours = build_processor(tokenizer)
    found, known = QuestionTokens.of(ours), QuestionTokens(tokenizer)
    assert (found.opening, found.between, found.closing) == (known.opening, known.between, known.closing)
    assert found.tiler is known.tiler is embedded
    user, assistant = tokenizer.convert_tokens_to_ids(["<|im_start|>user ", "<|im_end|><|im_start|>assistant\n"])
    for index in range(20):
        for question in stream_item("train", "mmstar", 0, index).questions:
            prompt = tokenizer.encode(question.prompt, add_special_tokens=False)
            assert found.prompt(question) == known.prompt(question) == [user, *prompt, assistant]


def test_a_trained_checkpoint_is_converted_and_trained(processor, model, tmp_path):
    save_folder(model, processor, tmp_path / FOUNDATION)
    short = {"images": 2, "questions": 2, "compiled": False, "bfloat16": False, "warmup_steps": 1}
    first = LanguageRecipe(name="stage1", steps=2, from_scratch=False, learns="blocks", largest_only=True, **short)
    member, _, _ = stages.start(tmp_path, first)
    before = {name: value.clone() for name, value in member.parameters().items()}
    assert all(block.gate.item() == 0 for block in member.visor.blocks.values())
    for name, value in model.named_parameters():
        if f"model.{name}" in before:
            assert torch.equal(before[f"model.{name}"], value), name
    assert stages.language(tmp_path, first, ("gqa",)).step == 2
    after, _, state = stages.start(tmp_path, branch(first, "stage2", 2, learns="all"))
    assert state == tmp_path / "stage1" / STATE
    moved = {name for name, value in after.parameters().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("visor.blocks.") for name in moved)
