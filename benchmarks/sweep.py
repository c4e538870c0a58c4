"""The sweep of the 13 configurations at the 0.5B's full size, beside one dense prefill and 13 prefills.

    python -m benchmarks.sweep                 # writes benchmarks/results/sweep.json and .md
    python -m benchmarks.sweep --kernels packed  # linear layers of both sides on packed weights; sweep-packed.*
    python -m benchmarks.sweep --narrow        # the same depths, tiny widths: to try it in seconds

Random weights, CPU, float32, one sample of 32 text tokens (14 before the image). The decoder part runs on 1,458 and
3,645 vision tokens (2 and 5 tiles of 729, newlines left out); with the tower, those tiles run through tower and
projector too. Each number is the median of some runs in which dense and sweep take turns, so that a machine that slows
down slows both; the 13 prefills run once. Memory is counted in bytes of living tensors (`live_bytes.py`), weights
apart, with stock kernels only (packed weights cannot be counted).
"""

import argparse
import gc
import json
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from tabulate import tabulate

from benchmarks.live_bytes import LiveBytes
from visor_eval.cost import backbone
from visor_eval.cost.configurations import configurations
from visor_eval.cost.shapes import BackboneShape, DecoderShape, ProjectorShape, TowerShape
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.packed_linear import packed_linears
from visor_eval.models.sequence import Prompt
from visor_eval.probes.joining import cache_bytes, joined
from visor_eval.probes.prefix_sweep import PrefixSweep
from visor_eval.probes.random_weights import random_backbone, random_visor
from visor_eval.probes.sweeper import JOINED_BYTES
from visor_eval.visor.readers import AddedBlock

NARROW = BackboneShape(
    name="narrow",
    decoder=DecoderShape(layers=24, hidden=32, heads=4, kv_heads=2, head_dim=8, intermediate=48, vocab=512),
    tower=TowerShape(layers=3, hidden=32, heads=4, intermediate=32, patch_px=14, tile_px=384),
    projector=ProjectorShape(inputs=32, hidden=32, outputs=32),
)
TEXT, BEFORE = 32, 14
TILES = {1458: 2, 3645: 5}
REFERENCE = 4  # answer tokens that are scored by teacher forcing, where that is timed
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--narrow", action="store_true", help="tiny widths; writes nothing")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, nargs="*", default=list(TILES), choices=list(TILES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--kernels", choices=("stock", "packed"), default="stock")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = random_backbone(NARROW if options.narrow else backbone("llava-ov-0.5b"))
    modules = random_visor(model)
    readers = {int(layer): AddedBlock(block) for layer, block in modules.blocks.items()}  # type: ignore[arg-type]
    decoder = SparseDecoder(model.language_model, model.lm_head, readers)
    kernels = packed_linears(*decoder.modules) if options.kernels == "packed" else nullcontext()
    with torch.inference_mode(), kernels:
        rows = [
            measure(model, decoder, tokens, options.runs, memory=options.kernels == "stock")
            for tokens in options.tokens
        ]
    found = {
        "shape": model.shape.name if options.narrow else "llava-ov-0.5b",
        "kernels": options.kernels,
        "threads": options.threads,
        "runs": options.runs,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": rows,
    }
    text = table(found)
    sys.stdout.write(text)
    if not options.narrow:
        RESULTS.mkdir(exist_ok=True)
        name = "sweep" if options.kernels == "stock" else f"sweep-{options.kernels}"
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / f"{name}.md").write_text(text)


def measure(model: LlavaOnevision, decoder: SparseDecoder, vision: int, runs: int, *, memory: bool) -> dict[str, float]:
    """Seconds and bytes for one number of vision tokens."""
    hidden, layers = model.shape.decoder.hidden, len(decoder.layers)
    chosen = configurations(layers)
    example = prompt(hidden, vision)
    everything = FixedChoice(tuple(range(1, layers + 1)))
    dense = SparseDecoder(decoder.language_model, decoder.lm_head)

    def one_dense() -> object:
        return dense.prefill([example], everything)

    def sweep(*, scored: bool = False) -> object:
        versions = [((1,) * (REFERENCE - 1),)] if scored else None
        leaves = list(PrefixSweep(decoder, [example], chosen, versions=versions).leaves())
        if scored:
            decoder.lm_head(torch.stack([leaf.followers for leaf in leaves if leaf.followers is not None]))
        return list(decoder.lm_head(torch.cat([leaf.last for leaf in leaves])))

    def decoded_sweep() -> object:
        """One decode step for every leaf, in groups as `visor_eval.probes.sweeper` makes them."""
        waiting, logits = [], []
        for leaf in PrefixSweep(decoder, [example], chosen, keep_caches=True).leaves():
            waiting.append(leaf)
            if len(waiting) * cache_bytes(leaf) >= JOINED_BYTES or len(waiting) + len(logits) == len(chosen):
                first = decoder.lm_head(torch.cat([each.last for each in waiting]))
                state = joined(waiting, first, [example.length], chosen)
                logits += decoder.decode(state.logits.argmax(-1), state).logits
                waiting = []
        return logits

    def one_by_one() -> object:
        return [decoder.prefill([example], FixedChoice(each)).logits for each in chosen]

    calls: dict[str, Callable[[], object]] = {
        "dense": one_dense,
        "sweep": sweep,
        "scored_sweep": lambda: sweep(scored=True),
    }
    warm = sweep()
    one_dense()
    alone: list[object] = []
    once = seconds(lambda: alone.append(one_by_one()))
    agree(warm, alone[0])
    times: dict[str, list[float]] = {name: [] for name in calls} | {"one_by_one": [once]}
    for _ in range(runs):
        for name, call in calls.items():
            times[name].append(seconds(call))
    pixels = torch.randn(TILES[vision], 3, model.shape.tower.tile_px, model.shape.tower.tile_px)  # type: ignore[union-attr]
    tower = [seconds(lambda: encode(model, pixels)) for _ in range(runs)]
    row = {f"{name}_s": median(values) for name, values in times.items()} | {"tower_s": median(tower)}
    row |= {f"{name}_spread": (max(v) - min(v)) / median(v) for name, v in times.items()}
    row |= {"vision_tokens": vision, "tiles": TILES[vision]}
    row["sweep_over_dense"] = row["sweep_s"] / row["dense_s"]
    row["scored_sweep_over_dense"] = row["scored_sweep_s"] / row["dense_s"]
    row["one_by_one_over_sweep"] = row["one_by_one_s"] / row["sweep_s"]
    full_runs = len(chosen) * row["tower_s"] + row["one_by_one_s"]
    row["full_runs_over_sweep"] = full_runs / (row["tower_s"] + row["sweep_s"])
    if memory:
        used = {"dense": peak(one_dense), "sweep": peak(sweep), "decoded_sweep": peak(decoded_sweep)}
        weights = sum(p.numel() * p.element_size() for p in decoder.language_model.parameters())
        row |= {f"{name}_bytes": value for name, value in used.items()} | {"weight_bytes": weights}
        row["memory_over_dense"] = used["sweep"] / used["dense"]
        row["decoded_memory_over_dense"] = used["decoded_sweep"] / used["dense"]
        row["decoded_whole_over_dense"] = (weights + used["decoded_sweep"]) / (weights + used["dense"])
    return row


def prompt(hidden: int, vision: int) -> Prompt:
    """Random embeddings: 14 text tokens, the image, 18 text tokens."""
    return Prompt(
        text=torch.randn(TEXT, hidden),
        vision=torch.randn(vision, hidden),
        text_positions=torch.cat([torch.arange(BEFORE), torch.arange(BEFORE + vision, TEXT + vision)]),
        vision_positions=torch.arange(BEFORE, BEFORE + vision),
        image_lengths=(vision,),
    )


def encode(model: LlavaOnevision, pixels: torch.Tensor) -> torch.Tensor:
    """Tower and projector."""
    features, _ = model.tower(pixels)
    return model.model.model.multi_modal_projector(features)


def agree(swept: object, alone: object) -> None:
    """The sweep's leaves, in any order, are the single prefills, within 1e-5 of their size."""
    assert isinstance(swept, list)
    assert isinstance(alone, list)
    for logits in alone:
        nearest = min(float((logits - other).abs().max()) for other in swept)
        assert nearest <= 1e-5 * float(logits.abs().max()), nearest


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    gc.collect()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak(call: Callable[[], object]) -> int:
    """Bytes of living tensors at the highest point of one call."""
    gc.collect()
    with LiveBytes() as memory:
        call()
    return memory.peak


def table(found: dict) -> str:
    """Markdown."""
    headers = ("measure", *(f"{row['vision_tokens']} vision tokens" for row in found["rows"]), "target")
    wanted = (
        ("dense prefill, s", "dense_s", ".2f", ""),
        ("sweep of 13, s", "sweep_s", ".2f", ""),
        ("sweep and scores, s", "scored_sweep_s", ".2f", ""),
        ("13 prefills, s", "one_by_one_s", ".2f", ""),
        ("tower and projector, s", "tower_s", ".2f", ""),
        ("sweep / dense", "sweep_over_dense", ".2f", "<= 1.0"),
        ("sweep and scores / dense", "scored_sweep_over_dense", ".2f", ""),
        ("13 prefills / sweep", "one_by_one_over_sweep", ".2f", ">= 2.3"),
        ("13 x (tower + prefill) / (tower + sweep)", "full_runs_over_sweep", ".2f", ">= 6"),
        ("memory: sweep / dense", "memory_over_dense", ".2f", "<= 1.5"),
        ("memory: sweep with decoding / dense", "decoded_memory_over_dense", ".2f", ""),
        ("the same, the decoder's weights included", "decoded_whole_over_dense", ".2f", "<= 1.5"),
        ("largest spread of the runs, %", None, ".0f", ""),
    )
    lines = []
    for name, key, form, target in wanted:
        cells = [
            format(row[key] if key else 100 * max(v for k, v in row.items() if k.endswith("_spread")), form)
            if key is None or key in row
            else "-"
            for row in found["rows"]
        ]
        lines.append((name, *cells, target))
    setting = f"{found['kernels']} kernels, {found['threads']} threads, {found['machine']}, {found['utc']}"
    title = f"{found['shape']}, random weights, float32, {setting}"
    return f"{title}\n\n{tabulate(lines, headers, tablefmt='github', disable_numparse=True)}\n"


if __name__ == "__main__":
    main()
