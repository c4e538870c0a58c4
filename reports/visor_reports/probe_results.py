"""Sweeps, CKA and bench records under a results folder; what is damaged or not finished is named."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from visor_eval.records import JournalError, RunStatus, StoreError
from visor_eval.records.bench import BENCH_FILE, BenchFolder, BenchRecord
from visor_eval.records.cka import CkaFolder, CkaRun
from visor_eval.records.sweep import Sweep, SweepFolder
from visor_reports.study import Skipped

_Probe = TypeVar("_Probe", Sweep, CkaRun)


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What was found beside the runs."""

    sweeps: tuple[Sweep, ...]
    cka: tuple[CkaRun, ...]
    bench: tuple[BenchRecord, ...]
    skipped: tuple[Skipped, ...]


def read_probes(root: Path) -> Probes:
    """Read every sweep, CKA and bench folder under ``root``."""
    skipped: list[Skipped] = []
    sweeps = _load(
        root, (SweepFolder.RECORD_FILE, SweepFolder.JOURNAL_FILE), lambda path: SweepFolder(path).load(), skipped
    )
    cka = _load(root, (CkaFolder.RECORD_FILE, CkaFolder.JOURNAL_FILE), lambda path: CkaFolder(path).load(), skipped)
    bench = _load_bench(root, skipped)
    return Probes(sweeps=sweeps, cka=cka, bench=bench, skipped=tuple(skipped))


def newest_sweeps(sweeps: Iterable[Sweep]) -> tuple[Sweep, ...]:
    """One per model, weights and options; older records do not hold the processor's hash."""
    newest = {}
    for sweep in sweeps:
        options = {key: value for key, value in sweep.run.config.items() if key != "processor"}
        newest[sweep.run.model, sweep.run.weights_hash, str(options)] = sweep
    return tuple(newest.values())


def _load_bench(root: Path, skipped: list[Skipped]) -> tuple[BenchRecord, ...]:
    found = []
    for path in sorted(root.glob(f"*/{BENCH_FILE}")):
        try:
            found.append(BenchFolder(path.parent).load())
        except StoreError as error:
            skipped.append(Skipped(name=path.parent.name, reason=str(error)))
    return tuple(sorted(found, key=lambda record: (record.provenance.utc, record.run_id)))


def _load(
    root: Path, files: tuple[str, ...], load: Callable[[Path], _Probe], skipped: list[Skipped]
) -> tuple[_Probe, ...]:
    found: list[_Probe] = []
    for path in sorted(root.iterdir()):
        if not path.is_dir() or not any((path / name).exists() for name in files):
            continue
        try:
            probe = load(path)
        except (StoreError, JournalError) as error:
            skipped.append(Skipped(name=path.name, reason=str(error)))
            continue
        if probe.run.status != RunStatus.FINISHED or not probe.samples:
            skipped.append(Skipped(name=path.name, reason="not finished; the same command goes on from there"))
        else:
            found.append(probe)
    return tuple(sorted(found, key=lambda probe: (probe.run.started_utc, probe.run.run_id)))
