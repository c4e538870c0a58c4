"""CKA over all pairs of states: this project's way, formula S1 pair by pair, and Gram matrices formed once.

    python benchmarks/cka.py [--states 25] [--tokens 7290] [--dim 896] [--pairs 2] [--threads 1] [--output PATH]

Random features that drift from state to state, float32 as a decoder leaves them. All three ways compute in float64.
Pair by pair, and with Gram matrices formed once, the whole takes half an hour and 10.6 GB at full size: both are timed
on a few pairs and multiplied; their working memory at full size is measured (pair by pair) or computed (all Gram
matrices). On one thread (default) processor time, which other jobs hardly change; on several wall time, for a quiet
machine. The least of the repeats counts; every measurement is a process of its own, its working memory the peak of
its resident memory less what the features held before.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visor_eval.core.cka import cka, cka_by_definition

Shape = tuple[int, int, int]  # states, tokens, features
THREADS = "OMP_NUM_THREADS"  # read by torch in every process that is started


def drifting(states: int, tokens: int, dim: int) -> list[Tensor]:
    """Features whose states resemble their neighbours, with uneven channels and means away from zero."""
    rng = torch.Generator().manual_seed(0)
    state = torch.randn(tokens, dim, generator=rng) * torch.randn(dim, generator=rng).exp()
    found = [state + 3 * torch.randn(dim, generator=rng)]
    for _ in range(states - 1):
        found.append(found[-1] + 0.3 * torch.randn(tokens, dim, generator=rng))
    return found


def all_pairs(features: list[Tensor]) -> list[list[float]]:
    """This project's way."""
    return cka(features).tolist()


def one_pair(features: list[Tensor], i: int, j: int) -> float:
    """Formula S1 as it is written."""
    return float(cka_by_definition(features[i].double(), features[j].double()))


def one_pair_single(features: list[Tensor], i: int, j: int) -> float:
    """The same in float32: faster, smaller, less exact."""
    return float(cka_by_definition(features[i], features[j]))


def grams_once(features: list[Tensor]) -> tuple[float, float]:
    """Seconds to form one centred Gram matrix, and of one inner product of two."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    first = _gram(features[0].double())
    formed = clock()
    second = _gram(features[1].double())
    ready = clock()
    torch.vdot(first.view(-1), second.view(-1))
    return formed - start, clock() - ready


def _gram(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred @ centred.T


def measured(work: Callable[..., object], shape: Shape, *arguments: int) -> dict[str, Any]:
    """Seconds, peak working memory and result of ``work`` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, work, shape, arguments))
    child.start()
    found = receiver.recv()
    child.join()
    return found


def _child(sender: Connection, work: Callable[..., object], shape: Shape, arguments: tuple[int, ...]) -> None:
    torch.set_num_threads(int(os.environ[THREADS]))
    features = drifting(*shape)
    warm = torch.randn(256, 256, dtype=torch.float64)
    warm.mm(warm)
    ctypes.CDLL(None).malloc_trim(0)  # give back what making the features left over, or it would be used unseen
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    result = work(features, *arguments)
    seconds = clock() - start
    sender.send({"seconds": seconds, "bytes": max(0, _memory("VmHWM") - before), "result": result})


def _memory(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure, print a table, write JSON and Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=7290)
    parser.add_argument("--dim", type=int, default=896)
    parser.add_argument("--pairs", type=int, default=2, help="pairs of which formula S1 is evaluated as written")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/cka"))
    options = parser.parse_args()
    os.environ[THREADS] = str(options.threads)
    shape = (options.states, options.tokens, options.dim)
    pairs = options.states * (options.states - 1) // 2

    ours = min((measured(all_pairs, shape) for _ in range(options.repeats)), key=lambda found: found["seconds"])
    similarity = ours["result"]
    chosen = [(0, options.states - 1), (options.states // 2, options.states // 2 + 1), (0, 1), (1, 3)][: options.pairs]
    by_definition = [measured(one_pair, shape, i, j) for i, j in chosen]
    error = max(abs(similarity[i][j] - found["result"]) for (i, j), found in zip(chosen, by_definition, strict=True))
    one = min(found["seconds"] for found in by_definition)
    single = measured(one_pair_single, shape, *chosen[0])
    single_error = abs(single["result"] - by_definition[0]["result"])
    once = measured(grams_once, shape)["result"]
    gram_bytes = 8 * options.tokens**2
    rows = {
        "ours": {"seconds": ours["seconds"], "bytes": ours["bytes"], "how": "measured"},
        "pair by pair": {
            "seconds": one * pairs,
            "bytes": max(found["bytes"] for found in by_definition),
            "how": f"one pair measured ({one:.2f} s, least of {len(chosen)}) x {pairs} pairs",
        },
        "pair by pair, float32": {
            "seconds": single["seconds"] * pairs,
            "bytes": single["bytes"],
            "how": f"one pair measured ({single['seconds']:.2f} s) x {pairs} pairs; off by {single_error:.0e}",
        },
        "Gram matrices once": {
            "seconds": once[0] * options.states + once[1] * options.states * (options.states + 1) / 2,
            "bytes": gram_bytes * options.states,
            "how": f"parts measured: forming one {once[0]:.2f} s, one inner product {once[1]:.3f} s; memory computed",
        },
    }
    result = {
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "states": options.states,
        "tokens": options.tokens,
        "dim": options.dim,
        "threads": options.threads,
        "torch": torch.__version__,
        "largest_error": error,
        "ways": rows,
        "speedup": rows["pair by pair"]["seconds"] / rows["ours"]["seconds"],
        "memory_ratio": rows["pair by pair"]["bytes"] / rows["ours"]["bytes"],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    text = table(result)
    options.output.with_suffix(".md").write_text(text)
    sys.stdout.write(text)


def table(result: dict) -> str:
    """The result as Markdown."""
    ours = result["ways"]["ours"]
    clock = "processor" if result["threads"] == 1 else "wall"
    lines = [
        f"All pairs of {result['states']} states, {result['tokens']} tokens x {result['dim']} features, "
        f"{result['threads']} CPU thread(s), {clock} time, torch {result['torch']}, {result['utc']}; "
        f"largest difference from formula S1: {result['largest_error']:.1e}",
        "",
        "| way | time | working memory | against ours | how |",
        "|---|---:|---:|---:|---|",
    ]
    for name, row in result["ways"].items():
        ratio = f"{row['seconds'] / ours['seconds']:.1f}x time, {row['bytes'] / ours['bytes']:.1f}x memory"
        lines.append(f"| {name} | {row['seconds']:.1f} s | {row['bytes'] / 2**20:.0f} MiB | {ratio} | {row['how']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
