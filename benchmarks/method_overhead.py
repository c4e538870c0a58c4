"""What a method's own work costs inside a whole run: scoring and selection against the dense decoder's prefill.

    OMP_NUM_THREADS=1 python -m benchmarks.method_overhead             # full size, 1 and 5 tiles: minutes
    OMP_NUM_THREADS=1 python -m benchmarks.method_overhead --narrow    # the same in seconds, to see that it works

LLaVA-OneVision 0.5B with random weights, 32 text tokens. Every method runs whole, as the engine runs it: tower,
capture, reduction, projector, 24 decoder layers. Timed are the runtime's own functions, so nothing is left out: the
tower with its hooks; scores and keys from what the hooks caught; everything a reducer does; everything pruning does
between layers, attention rows and the cut included. On a CPU processor time counts (other jobs then count little), on a
GPU wall time. Runs of all methods follow each other, dense first and last; of several the least counts. Extra memory is
that of living tensors, at its highest, measured by doing the method's work once more.

Writes benchmarks/results/method_overhead.csv and .md (narrow: prints only).
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from tabulate import tabulate

from benchmarks.live_bytes import LiveBytes
from benchmarks.question import FULL, NARROW, Question, question
from visor_eval.core.pruning import Boundary, Pruned, Pruner
from visor_eval.harness.registry import make_parts
from visor_eval.models.capture import TowerCapture
from visor_eval.models.decoder import FixedChoice, SparseDecoder
from visor_eval.models.devices import device_name
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.pruning import Pruning
from visor_eval.models.reduction import Reduction
from visor_eval.probes.random_weights import random_backbone

Labelled = dict[str, tuple[str, dict[str, object]]]

METHODS: Labelled = {  # label -> method, options; those that act on pixels or need training are left out
    "downsample": ("downsample", {}),
    "random": ("random", {}),
    "visionzip": ("visionzip", {}),
    "vispruner": ("vispruner", {}),
    "vispruner-16x": ("vispruner-16x", {}),
    "hired": ("hired", {}),
    "m3": ("m3", {}),
    "pyramiddrop, easy": ("pyramiddrop", {"schedule": "easy"}),
    "pyramiddrop, hard": ("pyramiddrop", {"schedule": "hard"}),
    "sparsevlm": ("sparsevlm", {}),
    "fastv": ("fastv", {}),
}
DENSE = "dense"
STEPS = {  # what is timed, and under which name
    (LlavaOnevision, "tower"): "tower",
    (TowerCapture, "of_image"): "scoring",
    (Reduction, "before_projector"): "selection",
    (Reduction, "after_projector"): "selection",
    (Pruning, "entering"): "selection",
    (Pruning, "after"): "selection",
    (SparseDecoder, "prefill"): "prefill",
}
OF_PREFILL, OF_TOWER = 0.02, 0.05  # the targets
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method on one image."""

    tiles: int
    method: str
    tokens: int  # of the sequence that enters the decoder, text included
    tower_s: float  # hooks included
    scoring_s: float  # before the decoder: attention that each token receives, mean keys
    selection_s: float  # all else that the method does; inside the decoder scoring is part of it
    prefill_s: float  # of the method's own decoder run
    extra_mib: float  # the most that capture and method hold beside the run


@dataclass
class Watch:
    """Adds up the time spent in some functions, and the memory that a method needs."""

    device: str
    spent: dict[str, float] = field(default_factory=dict)
    aside: float = 0.0  # spent on measuring itself
    held: int = 0  # bytes of caught queries and keys
    peak: int = 0  # bytes

    def now(self) -> float:
        """Seconds since some start, time spent on measuring left out."""
        if self.device == "cpu":
            return time.process_time() - self.aside
        torch.cuda.synchronize()
        return time.perf_counter() - self.aside

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, its time added to ``name``."""

        def call(*args: object, **kwargs: object) -> Any:
            start = self.now()
            result = function(*args, **kwargs)
            self.spent[name] = self.spent.get(name, 0.0) + self.now() - start
            return result

        return call

    def sized(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call ``function`` (once more) for the memory that it takes; the time does not count."""
        start = self.now()
        with LiveBytes() as live:
            function(*args, **kwargs)
        self.peak = max(self.peak, self.held + live.peak)
        self.aside += self.now() - start

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time `STEPS`, and size those that have no side effects."""
        with ExitStack() as stack:
            for (owner, function), name in STEPS.items():
                original = getattr(owner, function)
                watched = self.timed(name, original)
                if name in ("scoring", "selection") and owner is not Pruning:
                    watched = self._twice(original, watched)
                stack.enter_context(patch.object(owner, function, _method(watched)))
            yield

    def _twice(self, original: Callable[..., Any], watched: Callable[..., Any]) -> Callable[..., Any]:
        def call(owner: object, *args: object, **kwargs: object) -> Any:
            result = watched(owner, *args, **kwargs)
            if isinstance(owner, TowerCapture):
                caught = [block for block in (owner.last, owner.first) if block is not None]
                self.held = sum(t.nbytes for block in caught for t in (block.queries, block.keys) if t is not None)
            self.sized(original, owner, *args, **kwargs)
            return result

        return call


@dataclass(frozen=True)
class SizedPruner:
    """A pruner that is asked once more for the memory that it takes."""

    pruner: Pruner
    watch: Watch

    def __getattr__(self, name: str) -> object:
        """Everything else is the pruner's."""
        return getattr(self.pruner, name)

    def prune(self, view: Boundary) -> Pruned:
        """The pruner's answer."""
        self.watch.sized(self.pruner.prune, replace(view, memory=dict(view.memory)))
        return self.pruner.prune(view)


def measure(model: LlavaOnevision, asked: Question, tiles: int, label: str, device: str) -> Measured:
    """Run one method over one image."""
    watch = Watch(device)
    parts = () if label == DENSE else make_parts(*METHODS[label])
    pruners = [SizedPruner(part, watch) for part in parts if hasattr(part, "prune")]  # type: ignore[arg-type]
    reduction = Reduction(tuple(part for part in parts if not hasattr(part, "prune")))  # type: ignore[arg-type]
    decoder = SparseDecoder(model.language_model, model.lm_head, pruner=pruners[0] if pruners else None)  # type: ignore
    every_layer = FixedChoice(tuple(range(1, model.shape.decoder.layers + 1)))
    with torch.inference_mode(), watch.watching():
        (encoded,) = model.encode([[asked.image]], reduction)
        prompt = model.prompt(asked.token_ids, encoded.sequences)
        decoder.prefill([prompt], every_layer, ["hard"])
    seconds = {f"{name}_s": watch.spent.get(name, 0.0) for name in ("tower", "scoring", "selection", "prefill")}
    return Measured(tiles=tiles, method=label, tokens=prompt.length, extra_mib=watch.peak / 2**20, **seconds)


def least(runs: Sequence[Measured]) -> Measured:
    """The least time of each step over several runs of one method."""
    times = [entry.name for entry in fields(Measured) if entry.name.endswith("_s")]
    return replace(runs[0], **{name: min(getattr(run, name) for run in runs) for name in times})


def compare(dense: Measured, found: Measured) -> dict[str, object]:
    """One row of the results: times, and their shares of the dense run."""
    chosen = found.scoring_s + found.selection_s
    return {
        **asdict(found),
        "dense_prefill_s": dense.prefill_s,
        "of_prefill": chosen / dense.prefill_s,
        "of_tower": found.scoring_s / dense.tower_s,
    }


def markdown(rows: Sequence[dict[str, Any]], about: str) -> str:
    """The results as tables, one per number of tiles."""
    blocks = ["# What the methods' own work costs", about]
    for tiles in dict.fromkeys(row["tiles"] for row in rows):
        chosen = [row for row in rows if row["tiles"] == tiles]
        dense = chosen[0]
        table = [
            [
                row["method"],
                row["tokens"],
                f"{1e3 * row['scoring_s']:.1f}" if row["tokens"] < dense["tokens"] else "in selection",
                f"{1e3 * row['selection_s']:.1f}",
                f"{row['of_prefill']:.2%}",
                f"{row['of_tower']:.2%}",
                f"{row['extra_mib']:.1f}",
                f"{row['prefill_s']:.3g}",
            ]
            for row in chosen[1:]
        ]
        worst, tower = max(chosen, key=lambda row: row["of_prefill"]), max(row["of_tower"] for row in chosen)
        headers = ["method", "tokens", "scoring ms", "selection ms", "both / dense prefill", "scoring / tower"]
        blocks += [
            f"## {tiles} tile{'s' if tiles > 1 else ''}: {dense['tokens']} tokens",
            f"Dense: prefill {dense['prefill_s']:.3g} s, tower {dense['tower_s']:.3g} s. "
            f"Highest: {worst['of_prefill']:.2%} of the prefill ({worst['method']}; target at most {OF_PREFILL:.0%}), "
            f"{tower:.2%} of the tower (target at most {OF_TOWER:.0%}).",
            tabulate(table, [*headers, "extra MiB", "own prefill s"], tablefmt="github", disable_numparse=True),
        ]
    return "\n\n".join(blocks) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrow", action="store_true", help="a narrow model of the same depths and token counts")
    parser.add_argument("--tiles", default="1,5", help="tiles per image, comma-separated")
    parser.add_argument("--repeats", type=int, default=1, help="rounds over all methods")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda (then bfloat16)")
    parser.add_argument("--output", type=Path, help=f"folder of the results; default {RESULTS}, narrow: none")
    options = parser.parse_args(arguments)

    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    shape = NARROW if options.narrow else FULL
    model = random_backbone(shape, device=options.device, dtype=dtype)
    rows: list[dict[str, Any]] = []
    for tiles in map(int, options.tiles.split(",")):
        asked, runs = question(model, tiles), {label: [] for label in (DENSE, *METHODS)}
        for label in [*runs] * options.repeats + [DENSE]:
            found = measure(model, asked, tiles, label, options.device)
            runs[label].append(found)
            sys.stderr.write(f"{found}\n")
        dense = least(runs[DENSE])
        rows += [compare(dense, least(found)) for found in runs.values()]
    about = (
        f"{shape.name}, random weights, {str(dtype).removeprefix('torch.')}, {_hardware(options.device)}, "
        f"torch {torch.__version__}, {time.strftime('%d %B %Y')}; least of {options.repeats} run(s) of each method, "
        f"{options.repeats + 1} of dense. `python -m benchmarks.method_overhead` writes this file."
    )
    text = markdown(rows, about)
    sys.stdout.write(text)
    folder = options.output or (None if options.narrow else RESULTS)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "method_overhead.md").write_text(text, encoding="utf-8")
        with (folder / "method_overhead.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return 0


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, so that it binds as a method."""
    return lambda *args, **kwargs: function(*args, **kwargs)


def _hardware(device: str) -> str:
    name = device_name(torch.device(device))
    return name if device != "cpu" else f"{name}, {torch.get_num_threads()} thread(s)"


if __name__ == "__main__":
    sys.exit(main())
