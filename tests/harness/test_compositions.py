"""Reducers with pruners, with VISOR and with each other: cost, batches, and what is refused."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from visor_eval.errors import SetupError
from visor_eval.harness import registry
from visor_eval.harness.registry import default_checkpoint, load_engine

WORKING = [
    ("hired+fastv", {}),
    ("visionzip+pyramiddrop", {"newline": "none"}),
    ("vispruner+sparsevlm", {"unpad": False}),
    ("m3+random+fastv", {"factor": 2.0, "after_projector": False}),
    ("downsample-image+downsample+pyramiddrop", {}),
    ("visor+visionzip", {}),
    ("visor+vispruner", {}),
    ("visor-tr", {}),
    ("visor-tr+m3", {"config": "1,4"}),
    ("visor-zero+hired", {"config": "1,4,7"}),
]


def engine_of(dense, visor, model, options):
    folder = visor if model.startswith(("visor+", "visor-tr")) else dense
    return load_engine(model, pretrained=str(folder), **options)


@pytest.mark.parametrize(("model", "options"), WORKING, ids=[model for model, _ in WORKING])
def test_cost_is_what_is_dispatched_and_a_batch_is_its_samples(dense, visor, requests, model, options):
    """A padded canvas, two images, none."""
    chosen = [replace(request, max_new_tokens=2) for request in (requests[3], *requests[-2:])]
    chosen[0] = replace(chosen[0], group="easy")
    engine = engine_of(dense, visor, model, options)
    torch.manual_seed(0)
    together = engine.answer(chosen)
    for request, expected in zip(chosen, together, strict=True):
        with FlopCounterMode(display=False) as counter:
            (alone,) = engine.answer([request])
        assert alone.cost.prefill.total() + alone.cost.decode.total() == counter.get_total_flops()
        assert (alone.text, alone.token_ids) == (expected.text, expected.token_ids)
        assert replace(alone.cost, latency_ms=None, batch_size=1) == replace(
            expected.cost, latency_ms=None, batch_size=1
        )
    assert together[0].cost.total() < together[0].cost.dense_total()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("pyramiddrop+fastv", {}, "PyramidDrop and FastV both prune inside the decoder, each by its own schedule"),
        ("visor+fastv", {}, "FastV scores vision tokens in layers that visor runs without them"),
        ("visor-tr+sparsevlm", {}, "SparseVLM scores vision tokens in layers that visor-tr runs without them"),
        ("visor-zero+pyramiddrop", {}, "layers that visor-zero runs without them"),
        ("visionzip+vispruner", {}, "VisPruner works on complete grids, but a reducer before it has already selected"),
        ("hired+random", {}, "put it first, or leave one of the two out"),
        ("visor-tr+visionzip", {}, "TokenPacking works on complete grids"),
        ("visionzip+m3", {}, "M3 works on complete grids.*selected tokens: leave one of the two out"),
        ("m3+visionzip", {"after_projector": False}, "VisionZip needs the tower's attention on the tower's own grid"),
        ("dense+visor", {}, "composes dense and visor"),
        ("visor+visor-zero", {}, "composes visor and visor-zero"),
        ("visionzip", {"dominant": 50}, "a budget of 50 tokens per tile is above the 49 of a tile"),
        ("fastv", {"k": 24}, "k=24 leaves none of the decoder's 24 layers"),
        ("sparsevlm", {"layers": (3, 2), "keep": (4, 2)}, r"stages must ascend within 1\.\.23"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_sample(dense, visor, model, options, message):
    with pytest.raises(SetupError, match=message):
        engine_of(dense, visor, model, options)


@pytest.mark.parametrize("model", ["visionzip-dagger", "vispruner-trained", "vispruner-16x-trained"])
def test_trained_variants_need_their_weights(dense, model, monkeypatch):
    assert default_checkpoint(model) == f"{model.removesuffix('-trained')}-tiny"
    with monkeypatch.context() as patch:
        patch.setattr(registry, "embedded_names", lambda: ("dense-tiny",))
        with pytest.raises(SetupError, match="none is embedded: name one with --pretrained"):
            load_engine(model)
    with pytest.raises(SetupError, match="name the checkpoint with --pretrained"):
        default_checkpoint(f"visor+{model}")
    engine = load_engine(model, pretrained=str(dense))
    budget = {"visionzip-dagger": (104, 24), "vispruner-trained": (96, 32), "vispruner-16x-trained": (34, 12)}[model]
    assert engine.reduction.reducers[0].budget(729) == budget


def test_all_on_named_weights_leaves_out_what_was_trained():
    everything, named = set(registry.ready_methods()), set(registry.ready_methods("some/folder"))
    assert {"dense", "visor-zero", "m3", "vispruner"} <= named < everything
    assert everything - named == {
        "visor",
        "visor-tr",
        *(name for name in everything if name.endswith(("-trained", "-dagger"))),
    }
