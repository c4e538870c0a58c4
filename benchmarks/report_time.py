"""How long a report takes: thirteen methods, twelve tasks, synthetic samples; nothing of it is a result.

python -m benchmarks.report_time            # the mini suite's size: 120 samples per task
python -m benchmarks.report_time --paper    # the real benchmarks' sizes: 48,000 samples per method
python -m benchmarks.report_time --profile  # and where the time goes
"""

import argparse
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reports.studies import TASKS, write_thirteen
from visor_eval.commands.console import say

PAPER = dict(  # samples of the split that is scored
    zip(TASKS, (765, 2017, 12_578, 2374, 1500, 9000, 5000, 3088, 2500, 1000, 2801, 5349), strict=True)
)


def main() -> int:
    """Write a results folder, time the command, print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="the real benchmarks' sizes")
    parser.add_argument("--profile", action="store_true", help="profile within this process instead")
    parser.add_argument("--flags", default="", help="further flags of visor-eval report, space-separated")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "results"
        began = time.perf_counter()
        write_thirteen(root, PAPER if options.paper else 120)
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
        say(f"made {size:.0f} MB of samples in {time.perf_counter() - began:.1f} s")
        arguments = ["report", str(root), *options.flags.split()]
        if options.profile:
            from visor_eval.cli import main as command

            profile = cProfile.Profile()
            profile.runcall(command, arguments)
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
            return 0
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "visor_eval.cli", *arguments], check=True, text=True, capture_output=True
        )
        say(done.stdout.strip().splitlines()[-1])
        say(f"visor-eval report, 13 methods, 12 tasks: {time.perf_counter() - began:.1f} s from process start to end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
