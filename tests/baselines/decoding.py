"""Pruners on stock decoders: golden files (tests/goldens/README_decoder.md), tiny models, prompts, what a run shows."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel, Qwen2Config, Qwen2Model

from visor_eval.core.pruning import Boundary, Pruned
from visor_eval.models.decoder import Decoding, FixedChoice, SparseDecoder
from visor_eval.models.sequence import Prompt

GOLDENS = Path(__file__).parents[1] / "goldens"


@dataclass(frozen=True)
class Golden:
    """One case: its tensors and what its header says."""

    tensors: dict[str, Tensor]
    meta: dict

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def load(path: Path) -> Golden:
    with safe_open(path, "pt") as file:
        return Golden({key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["meta"]))  # noqa: SIM118


def golden_cases(method: str, kind: str, count: int):
    """All ``count`` files of a kind, as parameters."""
    paths = sorted((GOLDENS / method).glob(f"{kind}_*.safetensors"))
    assert len(paths) == count
    return pytest.mark.parametrize("golden", [pytest.param(load(path), id=path.stem) for path in paths])


def every_layer(model: nn.Module) -> FixedChoice:
    return FixedChoice(tuple(range(1, len(model.layers) + 1)))


def golden_model(golden: Golden, family: str) -> nn.Module:
    """The golden's tiny LLaMA as a stock model (Qwen2 with zero biases is the same); token t is decode step t."""
    meta = golden.meta
    sizes = {
        "hidden_size": meta["hidden_size"],
        "intermediate_size": meta["intermediate_size"],
        "num_hidden_layers": meta["num_hidden_layers"],
        "num_attention_heads": meta["num_heads"],
        "num_key_value_heads": meta["num_key_value_heads"],
        "head_dim": meta["head_dim"],
        "rms_norm_eps": meta["rms_norm_eps"],
        "rope_parameters": {"rope_type": "default", "rope_theta": meta["rope_theta"]},
        "vocab_size": len(golden["decode_inputs_embeds"]),
        "bos_token_id": None,
        "eos_token_id": None,
    }
    biased = bool(meta.get("qkvo_bias"))
    model = (
        LlamaModel(LlamaConfig(**sizes, attention_bias=biased))
        if family == "llama"
        else Qwen2Model(Qwen2Config(**sizes))
    )
    weights = {
        name.removeprefix("weights."): value for name, value in golden.tensors.items() if name.startswith("weights.")
    }
    weights["embed_tokens.weight"] = golden["decode_inputs_embeds"][:, 0]
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items() if name.endswith("bias")}
    model.load_state_dict({**state, **weights})
    return model.eval().requires_grad_(False)


def golden_families(golden: Golden) -> list[str]:
    return ["llama"] if golden.meta.get("qkvo_bias") else ["llama", "qwen2"]  # Qwen2 has no bias on o_proj


def span_prompt(states: Tensor, start: int, count: int) -> Prompt:
    """``states`` [length, dim] with its image at ``start``; start -1: none."""
    places = torch.arange(len(states))
    vision = (places >= start) & (places < start + count) & (start >= 0)
    lengths = (count,) if start >= 0 else ()
    return Prompt(states[~vision], states[vision], places[~vision], places[vision], lengths)


@dataclass
class Recording:
    """A pruner that notes what it was shown and what it answered, or repeats given answers."""

    pruner: object
    change: dict = field(default_factory=dict)  # fields of the view to be replaced
    views: list[Boundary] = field(default_factory=list)
    answers: list[Pruned] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)

    @property
    def positions(self) -> str:
        return self.pruner.positions

    def stages(self, layers, group):
        return self.pruner.stages(layers, group)

    def prune(self, view):
        view = replace(view, **self.change)
        self.views.append(view)
        self.answers.append(self.pruner.prune(view))
        if hasattr(self.pruner, "scores"):
            self.scores.append(self.pruner.scores(view))
        else:
            self.scores.append(self.pruner.rated(view).mean(dim=0))
        return self.answers[-1]

    def flops(self, view, pruned):
        return self.pruner.flops(replace(view, **self.change), pruned)


@dataclass
class Forward:
    """One prompt and its decode steps, with everything that left the last layer."""

    recording: Recording
    last_states: Tensor  # [length, dim], final norm applied
    kv_lengths: list[int]
    decoded: list[Tensor]  # [dim] per step, final norm applied


def run_golden(golden: Golden, pruner: object, start: int, count: int, family: str) -> Forward:
    model, recording, seen = golden_model(golden, family), Recording(pruner), []
    decoder = SparseDecoder(model, nn.Identity(), pruner=recording)
    handle = model.layers[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        state = decoder.prefill([span_prompt(golden["inputs_embeds"][0], start, count)], every_layer(model))
        handle.remove()
        lengths = [cache.parts[0].past.length for cache in state.layers]
        decoded = []
        for step in range(len(golden["decode_inputs_embeds"])):
            state = decoder.decode(torch.tensor([step]), state)
            decoded.append(state.logits[0])
        return Forward(recording, model.norm(seen[0][0]), lengths, decoded)


def check_forward(golden: Golden, forward: Forward) -> None:
    torch.testing.assert_close(forward.last_states, golden["out_prefill_last_hidden_state"][0], atol=5e-5, rtol=0)
    torch.testing.assert_close(torch.stack(forward.decoded), golden["out_decode_last_hidden_state"], atol=5e-5, rtol=0)
    assert forward.kv_lengths == golden["out_kv_lengths_after_prefill"].tolist()


def random_model(layers: int = 6, seed: int = 0, biases: float = 0.5) -> Qwen2Model:
    """4 query heads on 2 key heads, biases that matter."""
    config = Qwen2Config(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50,
    )
    torch.manual_seed(seed)
    model = Qwen2Model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed" in name:
                parameter.normal_(0, 1)
            elif parameter.ndim > 1:
                parameter.normal_(0, 1.5 * parameter.shape[-1] ** -0.5)
            elif "norm" not in name:
                parameter.normal_(0, biases)
    return model.eval().requires_grad_(False)


def random_head(model: Qwen2Model) -> nn.Linear:
    torch.manual_seed(99)
    return nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=False).requires_grad_(False)


def random_prompt(
    model: Qwen2Model, images: tuple[int, ...], *, prefix: int = 4, suffix: int = 7, seed: int = 0
) -> Prompt:
    """Text, each image followed by two text tokens, text."""
    generator = torch.Generator().manual_seed(seed)
    placeholder = model.config.vocab_size - 1

    def words(count):
        return torch.randint(0, placeholder, (count,), generator=generator)

    between = [part for _ in images for part in (torch.tensor([placeholder]), words(2))]
    ids = torch.cat([words(prefix), *between, words(suffix)])
    features = [torch.randn(count, model.config.hidden_size, generator=generator) for count in images]
    return Prompt.interleave(ids, model.embed_tokens(ids), placeholder, features)


def prefill(model, pruner, prompts, groups=None, head=None) -> tuple[SparseDecoder, Decoding]:
    decoder = SparseDecoder(model, head or random_head(model), pruner=pruner)
    with torch.inference_mode():
        return decoder, decoder.prefill(prompts, every_layer(model), groups)
