"""Overhead of the methods before the decoder, against the dense prefill and the tower that they run beside.

    OMP_NUM_THREADS=1 python benchmarks/reducer_overhead.py [cpu|cuda] [repeats]

Full-size random LLaVA-OneVision 0.5B shapes (SigLIP-SO400M, Qwen2-0.5B), 32 text tokens, float32 on a CPU and
bfloat16 on a GPU. One decoder layer and one tower layer are timed and multiplied by 24 and 26: the layers are alike.
Everything is timed in turn within one process; the least of the repeats counts.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import Qwen2Config, SiglipVisionConfig
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RotaryEmbedding
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer

from visor_baselines.downsample import Downsample
from visor_baselines.hired import HiRED
from visor_baselines.m3 import M3
from visor_baselines.random_keep import RandomKeep
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner, VisPruner16x
from visor_eval.core.similarity import received_attention
from visor_eval.core.tokens import VisionTokens

METHODS = (VisionZip(), VisPruner(), VisPruner16x(), HiRED(), M3(), Downsample(), RandomKeep())
TEXT, SIDE, LAYERS, TOWER_LAYERS = 32, 27, 24, 26
TOWER = SiglipVisionConfig(hidden_size=1152, intermediate_size=4304, num_attention_heads=16, attn_implementation="sdpa")
DECODER = Qwen2Config(
    hidden_size=896,
    intermediate_size=4864,
    num_attention_heads=14,
    num_key_value_heads=2,
    num_hidden_layers=1,
    attn_implementation="sdpa",
)


class Bench:
    """One grid of sub-tiles on one device."""

    def __init__(self, grid: tuple[int, int] | None, device: str) -> None:
        """Random weights and tokens."""
        self.device, self.dtype = device, torch.bfloat16 if device == "cuda" else torch.float32
        self.tiles = 1 if grid is None else 1 + grid[0] * grid[1]
        newlines = 1 if grid is None else grid[0] * SIDE
        self.length = self.tiles * SIDE**2 + newlines + TEXT
        self.layer = self._ready(Qwen2DecoderLayer(DECODER, 0))
        self.block = self._ready(SiglipEncoderLayer(TOWER))
        self.states = self._draw(1, self.length, DECODER.hidden_size)
        rotary = Qwen2RotaryEmbedding(DECODER).to(device)
        self.rotary = rotary(self.states, torch.arange(self.length, device=device)[None])
        self.queries, self.keys = self._draw(2, self.tiles, 16, SIDE**2, 72)
        scores = received_attention(self.queries, self.keys, 72**-0.5)
        self.tower_tokens = VisionTokens(
            features=self._draw(self.tiles, SIDE**2, TOWER.hidden_size),
            tile_shape=(SIDE, SIDE),
            grid=grid,
            image_size=(384, 384),
            scores=scores,
            keys=self.keys.float().mean(dim=1),
            first_scores=scores[0],
        )
        self.projected = replace(self.tower_tokens, features=self._draw(self.tiles, SIDE**2, DECODER.hidden_size))

    def tasks(self) -> dict[str, Callable[[], object]]:
        """What is timed, by name."""
        tasks: dict[str, Callable[[], object]] = {
            "decoder": lambda: self.layer(self.states, position_embeddings=self.rotary),
            "tower": lambda: self.block(self.tower_tokens.features, attention_mask=None),
            "capture": lambda: received_attention(self.queries, self.keys, 72**-0.5),
            "capture one": lambda: received_attention(self.queries[:1], self.keys[:1], 72**-0.5),
        }
        for method in METHODS:
            tokens = self.projected if method.after_projector else self.tower_tokens
            tasks[type(method).__name__] = lambda method=method, tokens=tokens: method.reduce(tokens)
        return tasks

    def seconds(self, task: Callable[[], object]) -> float:
        """Wall time of one call."""
        self._wait()
        start = time.perf_counter()
        task()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape).to(self.device, self.dtype)

    def _ready(self, module: nn.Module) -> nn.Module:
        return module.eval().to(self.device, self.dtype)


def report(grid: tuple[int, int] | None, device: str, repeats: int) -> list[str]:
    """Rows of a Markdown table."""
    bench = Bench(grid, device)
    tasks = bench.tasks()
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(repeats):
        for name, task in tasks.items():
            best[name] = min(best[name], bench.seconds(task))
    prefill, tower = LAYERS * best["decoder"], TOWER_LAYERS * best["tower"]
    rows = [f"{bench.tiles} tile(s), {bench.length} tokens: dense prefill {prefill:.3g} s, tower {tower:.3g} s"]
    for method in METHODS:
        capture = best["capture"] * ("scores" in method.needs) + best["capture one"] * ("first_scores" in method.needs)
        chosen = best[type(method).__name__]
        rows.append(
            f"| {type(method).__name__} | {1e3 * capture:.2f} | {1e3 * chosen:.2f} | {capture / tower:.2%} "
            f"| {chosen / prefill:.2%} | {(capture + chosen) / prefill:.2%} |"
        )
    return rows


def main() -> None:
    """Print one table per number of tiles."""
    device, repeats = (sys.argv[1:] + ["cpu", "3"][len(sys.argv) - 1 :])[:2]
    head = "| method | scoring ms | selection ms | scoring / tower | selection / prefill | both / prefill |"
    with torch.inference_mode():
        for grid in (None, (1, 1), (2, 2)):
            rows = report(grid, device, int(repeats))
            sys.stdout.write("\n".join(["", rows[0], "", head, "|---|---|---|---|---|---|", *rows[1:], ""]))


if __name__ == "__main__":
    main()
