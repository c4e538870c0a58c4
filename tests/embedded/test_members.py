"""The invariants on the weights that ship: dense equals transformers, caches, batches, recorded FLOPs, real prompts."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from tests.visor.test_plans import recomputed
from visor_eval.harness.checkpoints import embedded_folder, embedded_names, read_card
from visor_eval.harness.registry import load_engine
from visor_eval.models.engine import Request
from visor_tasks.lmms_yaml import MINI_DATA
from visor_tasks.mini import EASY, HARD, TASKS, stream_item
from visor_tasks.mini.freeze import ROWS, SEED, read_parquet
from visor_tasks.mini.rows import MME_QUESTIONS


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """One dev question of each task; images of five sizes."""
    items = [stream_item("dev", task, 11, index, questions=1) for index, task in enumerate(TASKS)]
    return [
        Request(images=(Image.fromarray(item.image),), prompt=item.questions[0].prompt, max_new_tokens=8)
        for item in items
    ]


def test_dense_member_is_the_untouched_transformers_model(requests):
    folder = embedded_folder() / "dense-tiny"
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    engine = load_engine("dense")
    answers = engine.answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": request.prompt}]}]
        text = processor.apply_chat_template(turn, add_generation_prompt=True)
        inputs = processor(text=[text], images=[[request.images[0]]], return_tensors="pt")
        stock = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert list(answer.token_ids) == stock.tolist(), request.prompt
        with torch.inference_mode():
            expected = model(**inputs).logits[0, -1]
            tiled = engine.backbone.encode(engine.backbone.tile([request.images]))[0].sequences
            prompt = engine.backbone.prompt(engine.backbone.token_ids(request.prompt, 1), tiled)
            ours = engine.decoder.prefill([prompt], engine.chooser).logits[0]
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_visor_member_cached_batched_and_counted(requests):
    routed = load_engine("visor")
    together = routed.answer(requests)
    assert together[0].cost.configuration in routed.chooser.configurations
    for request, answer in zip(requests, together, strict=True):
        alone = routed.answer([request])[0]
        assert (alone.token_ids, alone.cost.configuration) == (answer.token_ids, answer.cost.configuration)
        assert recomputed(routed, request, answer.cost.configuration) == answer.token_ids
    with FlopCounterMode(display=False) as counter:
        cost = routed.answer(requests[-1:])[0].cost
    assert cost.prefill.total() + cost.decode.total() == counter.get_total_flops()


def test_visor_member_reads(requests):
    """Not a benchmark: on dev questions it must do clearly better than on blank images."""
    engine = load_engine("visor")
    items = [stream_item("dev", "textvqa_val", 12, index, questions=1) for index in range(40)]
    asked = [
        Request(images=(Image.fromarray(item.image),), prompt=item.questions[0].prompt, max_new_tokens=8)
        for item in items
    ]
    blank = Image.fromarray(np.full((56, 56, 3), 128, dtype=np.uint8))
    blind = [Request(images=(blank,), prompt=request.prompt, max_new_tokens=8) for request in asked]

    def right(requests: list[Request]) -> int:
        answers = engine.answer(requests)
        return sum(a.text.lower() in i.questions[0].answers for a, i in zip(answers, items, strict=True))

    assert right(asked) >= right(blind) + 10


@pytest.mark.parametrize("name", embedded_names())
def test_cards_and_sizes(name):
    card = read_card(name)
    assert {"summary", "shuffled_scores", "hardware", "seeds"} <= set(card)
    assert set(card["shuffled_scores"]) == {f"{task}_mini" for task in (*EASY, *HARD)}
    size = sum(file.stat().st_size for file in (embedded_folder() / name).glob("*.safetensors"))
    assert size <= 14_000_000


@pytest.mark.parametrize("task", TASKS)
def test_vision_tokens_are_at_least_four_times_the_prompt(task):
    """On every sample of the frozen suite, chat template included, so that cost behaves as on real inputs."""
    engine_side = load_engine("dense").backbone
    frozen = frozen_rows(task)
    assert len(frozen) == ROWS
    for prompt, (width, height) in frozen:
        tokens = len(engine_side.token_ids(prompt, 1)) - 1
        assert engine_side.anyres.count(height, width).vision_tokens >= 4 * tokens, prompt
        assert task not in HARD or width * height > 56 * 56, "hard images need several tiles"


def frozen_rows(task: str) -> list[tuple[str, tuple[int, int]]]:
    """(Prompt, image's width and height) of every row; the prompt is that of the question it was frozen from."""
    found = read_parquet(MINI_DATA / f"{task}.parquet")
    wanted, prompts = {(row["scene_hash"], row["question"]) for row in found}, {}
    for index in range(10 * ROWS):
        if wanted <= prompts.keys():
            break
        item = stream_item("test", task, SEED, index, MME_QUESTIONS if task == "mme" else 1)
        prompts.update({(item.scene_hash, question.meta["question"]): question.prompt for question in item.questions})
    sizes = [Image.open(BytesIO(row["image"]["bytes"])).size for row in found]
    return [(prompts[row["scene_hash"], row["question"]], size) for row, size in zip(found, sizes, strict=True)]
