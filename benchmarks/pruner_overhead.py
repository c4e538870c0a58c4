"""Overhead of the methods inside the decoder: scoring and selection, against the dense prefill.

    OMP_NUM_THREADS=1 python benchmarks/pruner_overhead.py [cpu|cuda] [repeats]

Full-size random Qwen2-0.5B layers, 32 text tokens, float32 on a CPU (processor time of this process, so that other jobs
count little) and bfloat16 on a GPU (wall time). Four layers run, with the schedules' shares after layers 1, 2 and 3:
what is pruned when costs the same as at depth. The first layer's time is multiplied by 24 for the dense prefill.
"""

import sys
import time
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2Model

from visor_baselines.fastv import FastV
from visor_baselines.pyramiddrop import SCHEDULES, PyramidDrop
from visor_baselines.sparsevlm import SparseVLM
from visor_eval.core.pruning import Boundary, Positions, Pruned, Pruner
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.sequence import Prompt

AT = (1, 2, 3)
METHODS = {
    "pyramiddrop (easy)": PyramidDrop(layers=AT, ratios=SCHEDULES[24]["easy"].ratios),
    "pyramiddrop (hard)": PyramidDrop(layers=AT, ratios=SCHEDULES[24]["hard"].ratios),
    "sparsevlm": SparseVLM(layers=AT),
    "fastv": FastV(),
}
SIDE, TEXT, PREFIX, LAYERS = 27, 32, 14, 24


@dataclass
class Clock:
    """Seconds, once the device has finished."""

    device: str

    def now(self) -> float:
        """Seconds since some start."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


@dataclass
class Timed:
    """A pruner and the time that it takes."""

    pruner: Pruner
    clock: Clock
    spent: float = field(default=0.0)

    @property
    def positions(self) -> Positions:
        """The pruner's."""
        return self.pruner.positions

    def stages(self, layers: int, group: str | None) -> tuple[int, ...]:
        """The pruner's."""
        return self.pruner.stages(layers, group)

    def prune(self, view: Boundary) -> Pruned:
        """The pruner's, timed."""
        start = self.clock.now()
        pruned = self.pruner.prune(view)
        self.spent += self.clock.now() - start
        return pruned

    def flops(self, view: Boundary, pruned: Pruned) -> int:
        """The pruner's."""
        return self.pruner.flops(view, pruned)


def model_on(device: str) -> Qwen2Model:
    """Four random layers of the 0.5B decoder."""
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=896,
        intermediate_size=4864,
        num_attention_heads=14,
        num_key_value_heads=2,
        num_hidden_layers=4,
        attn_implementation="sdpa",
    )
    return Qwen2Model(config).eval().to(device, torch.bfloat16 if device == "cuda" else torch.float32)


def prompt_of(model: Qwen2Model, tiles: int) -> Prompt:
    """One image of ``tiles`` tiles, newlines included, between two pieces of text."""
    newlines = 1 if tiles == 1 else SIDE * round((tiles - 1) ** 0.5)
    vision = tiles * SIDE**2 + newlines
    weight = model.embed_tokens.weight
    places = torch.arange(TEXT + vision, device=weight.device)
    text = torch.cat([places[:PREFIX], places[PREFIX + vision :]])
    states = torch.randn(TEXT + vision, model.config.hidden_size).to(weight)
    return Prompt(states[text], states[PREFIX : PREFIX + vision], text, places[PREFIX : PREFIX + vision], (vision,))


def measure(model: Qwen2Model, prompt: Prompt, pruner: Pruner, clock: Clock) -> tuple[float, float]:
    """(seconds of scoring and selection, seconds of the first layer)."""
    timed, times = Timed(pruner, clock), []
    first = model.layers[0]
    hooks = [
        first.register_forward_pre_hook(lambda *_: times.append(clock.now())),
        first.register_forward_hook(lambda *_: times.append(clock.now())),
    ]
    SparseDecoder(model, nn.Identity(), pruner=timed).prefill([prompt], FixedChoice((1, 2, 3, 4)))  # type: ignore[arg-type]
    for hook in hooks:
        hook.remove()
    return timed.spent, times[1] - times[0]


def main() -> None:
    """Print one row per method and number of tiles; the least of the repeats counts."""
    device, repeats = (sys.argv[1:] + ["cpu", "2"][len(sys.argv) - 1 :])[:2]
    clock = Clock(device)
    with torch.inference_mode():
        model = model_on(device)
        for tiles in (1, 5):
            prompt = prompt_of(model, tiles)
            runs = {
                name: [measure(model, prompt, m, clock) for _ in range(int(repeats))] for name, m in METHODS.items()
            }
            dense = LAYERS * min(layer for times in runs.values() for _, layer in times)
            sys.stdout.write(f"\n{tiles} tile(s), {prompt.length} tokens: dense prefill {dense:.3g} s\n")
            for name, times in runs.items():
                spent = min(spent for spent, _ in times)
                sys.stdout.write(f"| {name} | {1e3 * spent:.1f} ms | {spent / dense:.2%} |\n")


if __name__ == "__main__":
    main()
