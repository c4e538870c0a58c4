"""Vision tokens over prompt tokens, task by task, from a finished run: does cost behave as on real inputs?

python benchmarks/token_histogram.py results/<run id of a dense or visor run>
"""

import sys
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from visor_eval.records import list_runs

EDGES = (0, 4, 6, 10, 20, 40, 80)


def main(folder: Path) -> None:
    """Print one row per task: mean tokens, the lowest ratio, and how many samples fall between the edges."""
    (run,) = (run for run in list_runs(folder.parent).runs if run.run.run_id == folder.name)
    rows = []
    for task in run.run.tasks:
        costs = [sample.cost for sample in run.samples if sample.task == task and sample.cost is not None]
        ratios = [cost.dense_vision_tokens / cost.text_tokens for cost in costs]
        counts = Counter(max(index for index, edge in enumerate(EDGES) if edge <= ratio) for ratio in ratios)
        vision = sum(cost.dense_vision_tokens for cost in costs) / len(costs)
        text = sum(cost.text_tokens for cost in costs) / len(costs)
        rows.append([task, vision, text, min(ratios), *(counts[index] or "" for index in range(len(EDGES)))])
    headers = ["task", "vision", "prompt", "lowest ratio", *(f">= {edge}" for edge in EDGES)]
    sys.stdout.write(tabulate(rows, headers, tablefmt="github", floatfmt=".1f") + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
