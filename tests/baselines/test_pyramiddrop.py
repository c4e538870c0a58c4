"""PyramidDrop against its authors' code: every golden file, the schedules and the savings of spec section 4."""

import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2Model

from tests.baselines.decoding import Recording, check_forward, golden_cases, golden_families, run_golden, span_prompt
from visor_baselines.pyramiddrop import PyramidDrop
from visor_eval.models.decoder import FixedChoice, SparseDecoder


def one_boundary(golden) -> Qwen2Model:
    """Layer 1 passes its input on, layer 2 has the golden's norm and projections."""
    meta, width = golden.meta, golden["hidden_states"].shape[-1]
    config = Qwen2Config(
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=meta["num_heads"],
        num_key_value_heads=meta["num_key_value_heads"],
        head_dim=meta["head_dim"],
        rms_norm_eps=meta["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": meta["rope_theta"]},
        vocab_size=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = Qwen2Model(config).eval().requires_grad_(False)
    first, second = model.layers
    first.self_attn.o_proj.weight.zero_()
    first.mlp.down_proj.weight.zero_()
    second.input_layernorm.weight.copy_(golden["input_layernorm_weight"])
    for name, projection in (("q_proj", second.self_attn.q_proj), ("k_proj", second.self_attn.k_proj)):
        projection.weight.copy_(golden[f"{name}_weight"])
        projection.bias.copy_(golden.tensors.get(f"{name}_bias", torch.zeros_like(projection.bias)))
    return model


class AtStage(Recording):
    """One boundary of a longer pyramid: N0 is what the golden says, row by row."""

    def __init__(self, golden) -> None:
        stage, ratios = golden.meta["stage"], tuple(golden.meta["image_token_ratio_list"][1:])
        super().__init__(PyramidDrop(layers=tuple(range(1, len(ratios) + 1)), ratios=ratios, at_least=0))
        with_image = golden["image_start"] >= 0
        self.initial = golden["image_tokens_initial"][with_image].tolist()
        self.change["stage"] = stage

    def stages(self, layers, group):
        return (1,)

    def prune(self, view):
        self.change["initial_vision_tokens"] = self.initial[len(self.answers)]
        return super().prune(view)


@golden_cases("pyramiddrop", "rank_drop", 10)
def test_one_drop(golden):
    model, recording, seen = one_boundary(golden), AtStage(golden), []
    lengths = golden["attention_mask"].sum(dim=1).tolist()
    spans = zip(golden["image_start"].tolist(), golden["image_tokens_current"].tolist(), strict=True)
    prompts = [
        span_prompt(states[:length], start, count)
        for states, length, (start, count) in zip(golden["hidden_states"], lengths, spans, strict=True)
    ]
    hook = model.layers[1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        decoder = SparseDecoder(model, nn.Identity(), pruner=recording)
        state = decoder.prefill(prompts, FixedChoice((1, 2)))
    hook.remove()
    with_image = [row for row, start in enumerate(golden["image_start"].tolist()) if start >= 0]
    assert len(recording.answers) == len(with_image)
    for row, answer, view, scores in zip(with_image, recording.answers, recording.views, recording.scores, strict=True):
        kept = int(golden["keep_count"][row])
        assert answer.keep.tolist() == golden["out_kept_local"][row, :kept].tolist()
        assert view.last.tolist() == golden["query_index"][row : row + 1].tolist()
        torch.testing.assert_close(scores, golden["out_scores"][row, : len(scores)], atol=1e-6, rtol=0)
    for row, after in enumerate(golden["out_attention_mask"].sum(dim=1).tolist()):
        torch.testing.assert_close(seen[0][row, :after], golden["out_hidden_states"][row, :after], atol=5e-5, rtol=0)
        assert state.layers[1].parts[0].past.keys(row).shape[1] == after
        removed = state.layers[1].behind[row] if state.layers[1].behind is not None else 0
        assert int(state.positions[row] - removed) == after  # renumbered: the next position is the cached length
        assert golden["out_position_ids"][row, :after].tolist() == list(range(after))


@golden_cases("pyramiddrop", "forward", 2)
def test_whole_forward(golden):
    meta = golden.meta
    pruner = PyramidDrop(layers=tuple(meta["layer_list"]), ratios=tuple(meta["image_token_ratio_list"][1:]), at_least=0)
    for family in golden_families(golden):
        forward = run_golden(golden, pruner, meta["image_start"], meta["image_tokens_initial"], family)
        original = torch.arange(meta["image_tokens_initial"])
        for stage, (answer, scores) in enumerate(
            zip(forward.recording.answers, forward.recording.scores, strict=True), 1
        ):
            assert answer.keep.tolist() == golden[f"out_stage{stage}_kept_local"].tolist()
            original = original[answer.keep]
            assert original.tolist() == golden[f"out_stage{stage}_kept_original"].tolist()
            torch.testing.assert_close(scores, golden[f"out_stage{stage}_scores"], atol=1e-6, rtol=0)
        check_forward(golden, forward)


def linear_saving(layers: int, group: str) -> float:
    """Layers over the sum of the shares of vision tokens that they see."""
    schedule = PyramidDrop().schedule_for(layers, group)
    starts, shares = (0, *schedule.layers, layers), (1.0, *schedule.ratios)
    return layers / sum(share * (end - start) for share, start, end in zip(shares, starts, starts[1:], strict=False))


@pytest.mark.parametrize(
    ("layers", "easy", "hard", "mean"), [(24, 4.898, 2.526, 4.107), (28, 5.490, 2.545, 4.509)], ids=["24", "28"]
)
def test_savings_of_the_schedules(layers, easy, hard, mean):
    assert linear_saving(layers, "easy") == pytest.approx(easy, abs=5e-4)
    assert linear_saving(layers, "hard") == pytest.approx(hard, abs=5e-4)
    assert (8 * linear_saving(layers, "easy") + 4 * linear_saving(layers, "hard")) / 12 == pytest.approx(mean, abs=5e-4)


def test_the_group_selects_and_other_depths_scale():
    drop = PyramidDrop()
    assert drop.stages(24, "easy") == (1, 6, 12)
    assert drop.stages(24, "hard") == drop.stages(24, None) == (4, 10, 16)
    assert drop.stages(28, "easy") == (1, 2, 4, 10)
    assert PyramidDrop(schedule="easy").stages(24, "hard") == (1, 6, 12)
    assert drop.stages(32, "hard") == (5, 13, 21)
    assert drop.stages(48, "easy") == (2, 12, 24)
    for layers in range(1, 40):
        stages = drop.stages(layers, "easy")
        assert list(stages) == sorted(set(stages))
        assert all(1 <= stage < layers for stage in stages)


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "medium"},
        {"layers": (1, 2)},
        {"layers": (1, 2), "ratios": (0.5,)},
        {"layers": (1, 2), "ratios": (0.2, 0.5)},
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"schedule|layers|ratios"):
        PyramidDrop(**settings)
