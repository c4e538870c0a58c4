"""`visor_eval.apply`: methods on a stock transformers model, outside the harness."""

import pytest
import torch

import visor_eval
from tests.conftest import picture
from visor_eval.errors import SetupError


def inputs(backbone, samples):
    texts = [
        backbone.processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}] * len(images) + [{"type": "text", "text": prompt}]}],
            add_generation_prompt=True,
        )
        for images, prompt in samples
    ]
    images = [list(images) for images, _ in samples if images]
    return backbone.processor(
        text=texts, **({"images": images} if images else {}), return_tensors="pt", padding=True, padding_side="left"
    )


SAMPLES = [
    ((picture(56, 56, 1),), "what is the colour"),
    ((picture(112, 60, 2),), "how many"),
    ((picture(56, 56, 3), picture(70, 70, 4)), "is there red"),
]


def test_keeping_everything_is_the_stock_generate(backbone):
    model = backbone.model
    for sample in SAMPLES[:2]:
        given = inputs(backbone, [sample])
        expected = model.generate(**given, max_new_tokens=5, do_sample=False)
        with visor_eval.apply(model, "random", tokens=49):
            assert torch.equal(model.generate(**given, max_new_tokens=5), expected)
        with visor_eval.apply(model, "fastv", r=0.0):
            assert torch.equal(model.generate(**given, max_new_tokens=5), expected)


def test_padded_batch_equals_single_rows(backbone):
    model = backbone.model
    with visor_eval.apply(model, "visionzip", dominant=10, contextual=4):
        together = model.generate(**inputs(backbone, SAMPLES), max_new_tokens=5)
        for row, sample in zip(together, SAMPLES, strict=True):
            alone = model.generate(**inputs(backbone, [sample]), max_new_tokens=5)[0]
            new = alone[inputs(backbone, [sample])["input_ids"].shape[1] :]
            assert row[-5:][: len(new)].tolist() == new.tolist()


def test_methods_change_the_answer_and_everything_is_restored(backbone):
    model, given = backbone.model, inputs(backbone, SAMPLES[:1])
    before = model.generate(**given, max_new_tokens=8, do_sample=False)
    hooks = {name: list(module._forward_hooks) for name, module in model.named_modules()}  # transformers has its own
    with visor_eval.apply(model, "vispruner", important=3, diverse=1):
        reduced = model.generate(**given, max_new_tokens=8)
    assert not torch.equal(before, reduced)
    assert "generate" not in vars(model)
    assert hooks == {name: list(module._forward_hooks) for name, module in model.named_modules()}
    assert torch.equal(model.generate(**given, max_new_tokens=8, do_sample=False), before)


def test_restored_after_an_error(backbone):
    with pytest.raises(ZeroDivisionError), visor_eval.apply(backbone.model, "m3"):
        raise ZeroDivisionError
    assert "generate" not in vars(backbone.model)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("visionzp", {}, "did you mean 'visionzip'"),
        ("visionzip", {"dominnt": 3}, "dominant"),
        ("visor", {}, "a model of its own"),
        ("downsample-image", {}, "before they are tiled"),
        ("fastv+pyramiddrop", {}, "both prune"),
    ],
)
def test_refusals(backbone, method, options, message):
    with pytest.raises(SetupError, match=message), visor_eval.apply(backbone.model, method, **options):
        pass
