"""The speed targets on a CPU, in one command: every table of docs/speed.md.

    python -m benchmarks.speed             # full size, 2 threads: about 16 minutes on a quiet machine
    python -m benchmarks.speed --quick     # 6 layers, one round, 1 thread: to see that it works; writes below /tmp

LLaVA-OneVision 0.5B with random weights, float32, 32 text tokens, LM head on the last position. Each part is a record
of `visor-eval bench` below benchmarks/results/speed; benchmarks/results/speed.md has the verdicts, the tables and where
they come from, docs/speed.md the verdicts and the prefill.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.marked import written_into
from visor_eval.analysis.speed import Speed, speed, speed_up
from visor_eval.cost.shapes import backbone
from visor_eval.probes.bench import STOCK, BenchRequest, bench
from visor_eval.probes.random_weights import shallower
from visor_eval.records.bench import BenchEntry, BenchFolder, BenchRecord, Phase
from visor_reports.markdown import markdown, provenance
from visor_reports.speed import growth_table, provenance_lines, setting, speed_tables
from visor_reports.table import Cell, Column, Kind, Row, Table

RESULTS, PAGE = Path("benchmarks/results"), Path("docs/speed.md")
CONFIGURATIONS = ("1,4", "1,4,7,16", "1,4,7,10,16,19,22")
REDUCERS = (
    "downsample",
    "downsample-image",
    "hired",
    "m3",
    "random",
    "visionzip",
    "vispruner",
    "vispruner-16x",
    "vispruner-trained",
)
PRUNERS = ("fastv", "pyramiddrop", "sparsevlm")
GROWING = ("targets-1458", "targets-3645", "growth")  # parts whose points are fitted together
OF_STOCK, REALISED_VISOR, REALISED = 1.03, 0.9, 0.85  # targets: at most, at least, at least


def parts(threads: int) -> dict[str, BenchRequest]:
    """What is measured, by name."""
    base = BenchRequest(
        random_weights=backbone("llava-ov-0.5b"), threads=threads, decode_steps=4, whole=False, kernels="packed"
    )
    every = replace(base, models=("visor", *REDUCERS, *PRUNERS), configurations=CONFIGURATIONS)
    visor = replace(base, models=("visor",), configurations=CONFIGURATIONS[:1])
    return {
        "targets-1458": replace(every, vision_tokens=(1458,), rounds=5),
        "targets-3645": replace(every, vision_tokens=(3645,), rounds=3),
        "stock-kernels": replace(every, models=(STOCK, "visor"), vision_tokens=(1458,), kernels="stock", rounds=3),
        "growth": replace(visor, vision_tokens=(729, 7290), rounds=2),
        "whole": replace(visor, models=("visor", "visionzip"), vision_tokens=(1458,), whole=True, rounds=2),
    }


def quick(request: BenchRequest) -> BenchRequest:
    """The same in a minute or two."""
    shape = shallower(backbone("llava-ov-0.5b"), layers=6, tower_layers=2)
    tokens = tuple({1458: 729, 3645: 1458, 729: 729, 7290: 2187}[count] for count in request.vision_tokens)
    return replace(request, random_weights=shape, vision_tokens=tokens, rounds=1, configurations=("1,4",))


def verdicts(records: Mapping[str, BenchRecord]) -> Table:
    """Each target beside what was measured."""
    rows = [
        Row(cells=(Cell(value=name), Cell(value=found), Cell(value=wanted), Cell(value="yes" if reached else "no")))
        for name, found, wanted, reached in (*_stock(records["stock-kernels"]), *_methods(records))
    ]
    return Table(
        name="speed-targets",
        title="Targets",
        caption="Prefill. Realised: measured speed-up over dense divided by the predicted one (causal half).",
        columns=(
            Column(header="what"),
            Column(header="measured", kind=Kind.NUMBER),
            Column(header="target"),
            Column(header="reached"),
        ),
        rows=tuple(rows),
    )


Verdict = tuple[str, float, str, bool]


def _stock(record: BenchRecord) -> Iterator[Verdict]:
    dense, stock = (
        next(entry.timing(Phase.PREFILL) for entry in record.entries if entry.method == name)
        for name in ("dense", STOCK)
    )
    assert dense is not None
    assert stock is not None
    ratio = speed_up(dense.seconds, stock.seconds).estimate
    yield "dense over the stock transformers forward, stock kernels", ratio, f"<= {OF_STOCK}", ratio <= OF_STOCK


def _methods(records: Mapping[str, BenchRecord]) -> Iterator[Verdict]:
    for record in (records["targets-1458"], records["targets-3645"]):
        found = {entry: _prefill(record, entry) for entry in record.entries[1:]}
        for entry, prefill in found.items():
            least = REALISED_VISOR if entry.method == "visor" else REALISED
            realised = prefill.realised.estimate
            yield f"{_name(entry)}, realised", realised, f">= {least}", realised >= least
        slowest, prefill = min(found.items(), key=lambda item: item[1].measured.estimate)
        fastest_seen = prefill.measured.high  # equal within noise is not slower
        yield f"{_name(slowest)}, the slowest: speed-up", prefill.measured.estimate, ">= 1", fastest_seen >= 1


def _prefill(record: BenchRecord, entry: BenchEntry) -> Speed:
    dense, timing = record.reference(entry).timing(Phase.PREFILL), entry.timing(Phase.PREFILL)
    found = speed(dense, timing) if dense and timing else None
    assert found is not None
    return found


def _name(entry: BenchEntry) -> str:
    return f"{entry.label}, {entry.dense_vision_tokens} vision tokens"


def page(records: Mapping[str, BenchRecord], *, brief: bool = False) -> str:
    """Verdicts, growth, then every part's tables (brief: of the prefill alone) and provenance."""
    blocks = [markdown(verdicts(records))]
    grown = growth_table([entry for name in GROWING for entry in records[name].entries])
    if grown is not None:
        blocks.append(markdown(grown))
    for name, record in records.items():
        tables = [table for table in speed_tables(record) if table.name != "bench-growth"]
        if brief:
            tables = [table for table in tables if table.name.startswith("bench-prefill")]
        blocks += [f"### Part {name}", f"{setting(record)}.", *map(markdown, tables)]
        blocks.append(provenance(provenance_lines(record)))
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def main() -> None:
    """Measure part by part; what is done is written at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="parts to measure again, comma-separated; the others are read back")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    results = Path(tempfile.mkdtemp()) if options.quick else RESULTS
    records: dict[str, BenchRecord] = {}
    for name, request in parts(1 if options.quick else options.threads).items():
        folder = BenchFolder(results / "speed" / name)
        if options.only and name not in options.only.split(","):
            records[name] = folder.load()
            continue
        logging.info("part %s", name)
        with tempfile.TemporaryDirectory() as scratch:
            request = replace(request, output_path=Path(scratch))
            records[name], _ = bench(quick(request) if options.quick else request)
        folder.write(records[name])
    text = page(records)
    (results / "speed.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text if options.quick else f"written: {results / 'speed.md'}, {results / 'speed'}\n")
    if not options.quick:
        PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), page(records, brief=True)), encoding="utf-8")


if __name__ == "__main__":
    main()
