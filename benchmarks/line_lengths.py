"""How far each configuration follows the lines of the mini suite's hard scenes, from finished sweeps.

    python -m benchmarks.line_lengths results/example/*-sweep-visor-mini build/claims/*-sweep-visor-mini

Accuracy in % by the number of arrows between a label and its value, and by the cells of a bent bar; one column per
number of self-attention layers, the plain mean over its configurations.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from tabulate import tabulate

from visor_eval.records import SweepFolder
from visor_eval.records.sweep import SweepSample

KINDS = {"line": "arrows to the value", "length": "cells of the bar"}  # as a template begins -> what is counted


def counted(sample: SweepSample) -> tuple[str, int] | None:
    """What kind of line a sample asks for and how long it is; None: it asks for none."""
    template = sample.template or ""
    if template.startswith("line_"):
        return "line", int(template.removeprefix("line_"))
    return ("length", int(sample.references[0])) if template.startswith("length") else None


def by_layers(samples: Iterable[SweepSample]) -> Mapping[tuple[str, int], Mapping[int, list[float]]]:
    """Scores, 0 to 1, by kind and length and number of self-attention layers."""
    found: dict[tuple[str, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if (asked := counted(sample)) is not None:
            for result in sample.results:
                if result.score is not None:
                    found[asked][result.self_attention_layers].append(result.score)
    return found


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders of one model's sweeps")
    sweeps = [SweepFolder(folder).load() for folder in parser.parse_args().sweeps]
    weights = {sweep.run.weights_hash for sweep in sweeps}
    if len(weights) > 1:
        sys.exit("these sweeps are of different weights: give those of one model")
    found = by_layers(sample for sweep in sweeps for sample in sweep.samples)
    sizes = sorted({size for scores in found.values() for size in scores})
    for kind, what in KINDS.items():
        rows = [
            [length, *(100 * sum(marks) / len(marks) if (marks := scores.get(size)) else None for size in sizes)]
            for (each, length), scores in sorted(found.items())
            if each == kind
        ]
        headers = [what, *(f"{size} layers" for size in sizes)]
        sys.stdout.write(tabulate(rows, headers, tablefmt="pipe", floatfmt=".0f") + "\n\n")


if __name__ == "__main__":
    main()
