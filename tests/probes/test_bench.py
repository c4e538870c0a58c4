"""The bench on a model of a few thousand weights: every method, every phase, exact counts."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from visor_eval.cost.shapes import BackboneShape, DecoderShape, ProjectorShape, TowerShape
from visor_eval.errors import SetupError
from visor_eval.probes.bench import BenchRequest, bench
from visor_eval.probes.contender import Contender
from visor_eval.probes.random_weights import random_backbone, random_visor
from visor_eval.records.bench import BenchFolder, Phase

SHAPE = BackboneShape(
    name="tiny",
    decoder=DecoderShape(layers=12, hidden=16, heads=4, kv_heads=2, head_dim=4, intermediate=24, vocab=60),
    tower=TowerShape(layers=2, hidden=12, heads=2, intermediate=20, patch_px=4, tile_px=28),
    projector=ProjectorShape(inputs=12, hidden=16, outputs=16),
)
METHODS = (
    *("dense", "transformers", "visor", "visor-tr", "visor-zero", "downsample", "downsample-image", "m3", "random"),
    *("visionzip", "vispruner", "vispruner-16x", "hired", "fastv", "pyramiddrop", "sparsevlm", "visor+visionzip"),
)


@pytest.fixture
def request_for(tmp_path):
    def build(**changes):
        wanted = {"random_weights": SHAPE, "rounds": 2, "decode_steps": 2, "output_path": tmp_path}
        return BenchRequest(**{**wanted, **changes})

    return build


def test_every_method_and_phase(request_for):
    record, folder = bench(request_for(models=METHODS, vision_tokens=(49, 98), configurations=("1,4", "1,4,7")))
    assert BenchFolder(folder).load() == record
    labels = [entry.label for entry in record.entries if entry.dense_vision_tokens == 98]
    assert labels[0] == "dense"
    assert {"visor [1, 4]", "visor [1, 4, 7]", "transformers"} < set(labels)
    for entry in record.entries:
        assert {timing.phase for timing in entry.timings} == set(Phase)
        assert all(len(timing.seconds) == 2 for timing in entry.timings)
        assert entry.kv_cache_bytes == entry.kv_cache_bytes_held, entry.label
    dense = next(entry for entry in record.entries if entry.dense_vision_tokens == 98)
    assert dense.vision_tokens == dense.dense_vision_tokens == 98
    whole, step = dense.timing(Phase.END_TO_END), dense.timing(Phase.DECODE)
    before = [dense.timing(phase) for phase in (Phase.TOWER, Phase.REDUCER, Phase.PROJECTOR, Phase.PREFILL)]
    for number in range(2):
        parts = sum(timing.seconds[number] for timing in before) + 2 * step.seconds[number]
        assert whole.seconds[number] == pytest.approx(parts)
    assert sum(timing.flops for timing in before) + 2 * step.flops == pytest.approx(whole.flops, abs=2)


def test_flops_are_those_that_are_dispatched(request_for, monkeypatch):
    """Each phase's closed form against torch's counter around the very call that is timed."""
    counted = {}
    for phase, name in ((Phase.PREFILL, "_prefill"), (Phase.DECODE, "_decode"), (Phase.TOWER, "_tower")):
        original = getattr(Contender, name)

        def counting(self, given, original=original, phase=phase):
            with FlopCounterMode(display=False) as counter:
                result = original(self, given)
            counted[self.method, self.configuration, phase] = counter.get_total_flops()
            return result

        monkeypatch.setattr(Contender, name, counting)
    methods = ("dense", "visor", "visor-zero", "visionzip", "fastv", "sparsevlm", "pyramiddrop")
    record, _ = bench(request_for(models=methods, vision_tokens=(245,), rounds=1, batch_size=2))
    for entry in record.entries:
        for phase, times in ((Phase.TOWER, 1), (Phase.PREFILL, 1), (Phase.DECODE, 2)):
            expected = counted[entry.method, entry.configuration, phase] // times
            assert entry.timing(phase).flops == expected, (entry.label, phase)


def test_decoder_only_runs_a_shallow_tower_once(request_for):
    record, _ = bench(request_for(models=("dense", "visionzip"), whole=False))
    assert record.vision_tokens == (98,)  # two tiles where nothing is said
    assert {timing.phase for timing in record.entries[1].timings} == {
        Phase.REDUCER,
        Phase.PROJECTOR,
        Phase.PREFILL,
        Phase.DECODE,
    }


def test_impossible_images_and_numbers_are_refused(request_for):
    with pytest.raises(SetupError, match=r"possible: 49, 98"):
        bench(request_for(vision_tokens=(100,)))
    with pytest.raises(SetupError, match="at least 1"):
        request_for(rounds=0)
    with pytest.raises(SetupError, match="random weights"):
        random_backbone(replace(SHAPE, tower=None))


def test_random_weights_are_finite_and_repeatable():
    first, second = (random_backbone(SHAPE) for _ in range(2))
    for (name, one), other in zip(first.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
        assert one.isfinite().all(), name
    assert first.lm_head.weight is first.language_model.embed_tokens.weight
    assert all(block.gate == 1 for block in random_visor(first).blocks.values())


@pytest.mark.gpu
def test_on_a_gpu(request_for):
    """The targets on a GPU: realised prefill ratio of [1,4] at least 0.6, KV cache as predicted."""
    record, _ = bench(request_for(models=("visor",), device="cuda", dtype="bfloat16"))
    dense, visor = record.entries
    assert dense.peak_bytes > 0
    assert visor.kv_cache_bytes_held == visor.kv_cache_bytes < dense.kv_cache_bytes_held
