"""The paper's claims on the frozen mini suite, in one command: docs/claims.md and benchmarks/results/claims.json.

    python -m benchmarks.claims                          # run what is missing, write the page
    python -m benchmarks.claims --only c3,c4             # run for these only; the rest from what is there
    python -m benchmarks.claims --only none              # run nothing
    python -m benchmarks.claims --visor FOLDER --dense FOLDER --stage2 FOLDER --second-seed visor=A,dense=B

Runs go below --output and are found again there, and in the folders given with --reuse, by method, weights, suite and
settings: nothing is run twice, and new weights make new runs. Every claim is computed from records
(visor_eval/analysis/claims), never by hand. Whole evaluations take 20 to 60 s of processor time each, the sweep of the
13 configurations about 100 s, the search (--only search) about 5 minutes. Notes under a section stay.
"""

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claim_runs import Shelf, frozen_suite
from benchmarks.claim_sections import STAGE_2, Bench, Weights, second_seeds, sections
from benchmarks.marked import written_into
from visor_eval.harness.checkpoints import embedded_names
from visor_eval.records import RunRecord, utc_now
from visor_reports.claims import Section, claims_page, overview, results

logger = logging.getLogger("visor_eval.claims")

PAGE, RESULTS = Path("docs/claims.md"), Path("benchmarks/results/claims.json")
OUTPUT, REUSED = Path("build/claims"), "results/example"
PARTS = ("quality", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "composition", "headline", "search")


def machine_readable(found: Sequence[Section], runs: Sequence[RunRecord], command: str) -> str:
    """The results file."""
    record = {
        "command": command,
        "utc": utc_now(),
        "suite_sha256": frozen_suite(),
        "weights": overview(runs),
        "claims": results(found),
    }
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"run for these only, comma-separated, or none; of {', '.join(PARTS)}")
    parser.add_argument("--skip", default="", help="run for all but these, such as search")
    parser.add_argument("--visor", help="universal VISOR checkpoint; default: visor-tiny")
    parser.add_argument(
        "--dense", help="dense checkpoint, on which training-free reducers run too; default: dense-tiny"
    )
    parser.add_argument("--stage2", help=f"stage-2 checkpoint (C1, C2); default: {STAGE_2} where it is embedded")
    parser.add_argument(
        "--second-seed",
        help="of another seed: FOLDER (of visor), or visor=A,dense=B; default: the embedded ones beside their first",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"runs go there; default {OUTPUT}")
    parser.add_argument("--reuse", default=REUSED, help=f"folders with runs to take, comma-separated; default {REUSED}")
    parser.add_argument("--cka-limit", type=int, default=30, help="samples per task for C8; default 30")
    parser.add_argument("--limit", type=int, help="samples per task, to try it: prints, writes no page")
    options = parser.parse_args(arguments)
    names = [part for part in (options.only or ",".join(PARTS)).lower().split(",") if part]
    skipped = [part for part in options.skip.lower().split(",") if part]
    if unknown := sorted({*names, *skipped} - {*PARTS, "none"}):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options.parts = tuple(part for part in names if part not in (*skipped, "none"))
    return options


def main() -> int:
    """Run what is missing, compute, write; 1 where a claim could not be computed."""
    options = parse()
    os.environ.setdefault("LOGURU_AUTOINIT", "0")  # lmms-eval speaks through loguru, which then has no sink
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for name in ("visor_eval", "benchmarks", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
    stage2 = options.stage2 or (STAGE_2 if STAGE_2 in embedded_names() else None)
    second = options.second_seed or ""
    pairs = second if "=" in second or not second else f"visor={second}"
    seeds = dict(piece.split("=", 1) for piece in pairs.split(",") if piece)
    if not seeds and options.visor is None and options.dense is None:
        seeds = second_seeds()
    weights = Weights(visor=options.visor, dense=options.dense, stage2=stage2, second=seeds)
    reused = tuple(Path(folder) for folder in options.reuse.split(",") if folder)
    shelf = Shelf(output=options.output, reused=reused)
    bench = Bench(shelf=shelf, weights=weights, parts=options.parts, limit=options.limit, cka_limit=options.cka_limit)
    found = sections(bench)
    runs = sorted(shelf.used.values(), key=lambda record: record.started_utc)
    command = shlex.join(["python", "-m", "benchmarks.claims", *sys.argv[1:]])
    old = PAGE.read_text(encoding="utf-8")
    measured = claims_page(found, runs, command=command, old=old)
    if options.limit is not None:
        sys.stdout.write(measured)
        return bool(bench.broken)
    PAGE.write_text(written_into(old, measured), encoding="utf-8")
    RESULTS.write_text(machine_readable(found, runs, command), encoding="utf-8")
    told = [f"{one.claim.name}: {one.claim.verdict}" for one in found if one.claim.judged]
    sys.stdout.write("\n".join([*told, f"written: {PAGE}, {RESULTS}"]) + "\n")
    return bool(bench.broken)


if __name__ == "__main__":
    sys.exit(main())
