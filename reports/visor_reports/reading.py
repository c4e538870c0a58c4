"""From a results folder to a study: everything is read and sorted into boards; what is damaged is named."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from visor_eval.analysis.scores import SCORING, benchmark
from visor_eval.analysis.summary import summarise
from visor_eval.records import Run, RunRecord, SampleRecord, Sweep, collect_provenance, list_runs
from visor_reports.comparable import side_by_side
from visor_reports.lmms_logs import LogError, find_logs, read_logs
from visor_reports.naming import backbone_of, kernels_of, method_names, method_order, options, slugs
from visor_reports.probe_results import newest_sweeps, read_probes
from visor_reports.study import Board, Method, Setting, Skipped, Study

LMMS_FILE = "lmms_results.json"  # lmms-eval's own table beside a run: says how many samples were scored

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What no record tells, and the user may.

    Attributes:
        backbone: what checkpoints are built on whose name does not tell ("llava-ov-0.5b"), to place them beside the
            paper's numbers.
        training_data: method's name, checkpoint or run -> percent of the training data that its weights saw.
    """

    backbone: str | None = None
    training_data: Mapping[str, float] = field(default_factory=dict)


def read_study(root: Path, *, logs: Sequence[Path] = (), facts: Facts = Facts()) -> Study:
    """Read everything under ``root``.

    Args:
        root: a results folder; each run, sweep or probe has a folder in it.
        logs: files or folders with plain lmms-eval logs (``*_samples_*.jsonl``); those under ``root`` are found anyway.
        facts: what no record tells.

    Raises:
        StoreError: ``root`` is not a folder.
    """
    listing = list_runs(root)
    skipped = [Skipped(name=name, reason=reason) for name, reason in listing.damaged.items()]
    skipped += [
        Skipped(name=name, reason="not finished; the command that started it goes on from where it stopped")
        for name in listing.unfinished
        if name not in listing.damaged
    ]
    runs = _checked(root, listing.runs, skipped)
    runs += _imported(root, logs, runs, skipped)
    probes = read_probes(root)
    skipped += probes.skipped
    boards, superseded = _boards([*runs, *probes.sweeps], facts, skipped)
    return Study(
        root=root,
        boards=boards,
        bench=probes.bench,
        cka=probes.cka,
        superseded=superseded,
        skipped=tuple(sorted(skipped, key=lambda item: item.name)),
        provenance=collect_provenance(device="none: no model is run"),
    )


def _checked(root: Path, runs: Iterable[Run], skipped: list[Skipped]) -> list[Run]:
    """Runs whose samples are as many as lmms-eval scored, each document once, of one schema version."""
    sound = []
    for run in runs:
        if reason := _unsound(root / run.run.run_id, run):
            skipped.append(Skipped(name=run.run.run_id, reason=reason))
        else:
            sound.append(run)
    return sound


def _unsound(folder: Path, run: Run) -> str | None:
    counts: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for sample in run.samples:
        if (sample.task, sample.doc_id) in seen:
            return f"samples.jsonl holds {sample.task} {sample.doc_id} twice"
        seen.add((sample.task, sample.doc_id))
        counts[sample.task] = counts.get(sample.task, 0) + 1
    versions = sorted({sample.schema_version for sample in run.samples})
    if len(versions) > 1:
        return f"samples.jsonl mixes the schema versions {versions}"
    try:
        scored = json.loads((folder / LMMS_FILE).read_text(encoding="utf-8")).get("n-samples", {})
    except FileNotFoundError:
        return None  # copied without it
    except (OSError, ValueError, AttributeError) as error:
        return f"{LMMS_FILE}: {error}"
    for task, number in counts.items():
        wanted = scored.get(task, {}).get("effective", number) if isinstance(scored, Mapping) else number
        if wanted != number:
            return f"samples.jsonl holds {number} samples of {task}, lmms-eval scored {wanted}"
    return None


def _imported(root: Path, logs: Sequence[Path], native: Sequence[Run], skipped: list[Skipped]) -> list[Run]:
    """Plain lmms-eval logs as runs."""
    found: list[Run] = []
    for group in find_logs([root, *logs]):
        try:
            found.append(read_logs(group, native))
        except LogError as error:
            skipped.append(Skipped(name=group.name, reason=str(error)))
    return found


def _boards(
    found: Sequence[Run | Sweep], facts: Facts, skipped: list[Skipped]
) -> tuple[tuple[Board, ...], dict[str, str]]:
    superseded: dict[str, str] = {}
    grouped = _grouped(found, _setting)
    parts = [(setting, part) for setting, members in grouped.items() for part in side_by_side(members)]
    parts.sort(key=lambda part: (part[0].shuffled, -_size(part[1])))
    names = slugs(_board_name(setting) for setting, _ in parts)
    boards = [
        _board(name, setting, part, facts, superseded, skipped)
        for name, (setting, part) in zip(names, parts, strict=True)
    ]
    return tuple(board for board in boards if board.methods or board.sweeps), superseded


def _setting(item: Run | Sweep) -> Setting:
    """A sweep's samples are read as if they were a run's."""
    schema = item.samples[0].schema_version if isinstance(item, Run) else SampleRecord.SCHEMA_VERSION
    return Setting.of(item.run, schema)


def _size(part: Sequence[Run | Sweep]) -> int:
    """Samples of the runs; a sweep alone never comes before a run."""
    return sum(len(item.samples) for item in part if isinstance(item, Run))


def _board_name(setting: Setting) -> str:
    limit = "" if setting.limit is None else f" limit {setting.limit}"
    return f"{setting.suite}{limit}{' shuffled' if setting.shuffled else ''}"


def _board(
    slug: str,
    setting: Setting,
    part: Sequence[Run | Sweep],
    facts: Facts,
    superseded: dict[str, str],
    skipped: list[Skipped],
) -> Board:
    runs = [item for item in part if isinstance(item, Run)]
    sweeps = newest_sweeps(item for item in part if isinstance(item, Sweep))
    found = {sample.task: sample.group for source in (*sweeps, *runs) for sample in source.samples}
    tasks = task_order(found)
    groups: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        groups[found[task]] = (*groups.get(found[task], ()), task)
    rows = list(_grouped(runs, lambda run: _identity(run.run)).values())
    rows.sort(key=lambda members: method_order(members[0].run))
    names = method_names([members[0].run for members in rows])
    methods = []
    for name, method_slug, members in zip(names, slugs(names), rows, strict=True):
        try:
            methods.append(_method(name, method_slug, members, tasks, groups, facts, superseded))
        except ValueError as error:  # samples that no score can be computed from
            skipped += [Skipped(name=run.run.run_id, reason=str(error)) for run in members]
    return Board(slug=slug, setting=setting, tasks=tasks, groups=groups, methods=tuple(methods), sweeps=sweeps)


def _identity(record: RunRecord) -> str:
    """What makes two runs the same method: model, weights, options, precision, kernels, seeds; not tasks and time."""
    config = {key: record.config.get(key) for key in ("configuration", "model_args", "device", "dtype", "imported")}
    config["kernels"] = kernels_of(record)
    parts = [record.model, record.checkpoint, record.weights_hash, config, dict(record.seeds)]
    return json.dumps(parts, sort_keys=True, default=str)


def _method(
    name: str,
    slug: str,
    runs: Sequence[Run],
    tasks: Sequence[str],
    groups: Mapping[str, tuple[str, ...]],
    facts: Facts,
    superseded: dict[str, str],
) -> Method:
    """One row from the runs of one identity; of several runs of a task the newest counts."""
    newest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.run.started_utc, run.run.run_id)):
        newest.update(dict.fromkeys((sample.task for sample in run.samples), run))
    used = {run.run.run_id: run for run in newest.values()}
    for run in runs:
        if run.run.run_id not in used:
            superseded[run.run.run_id] = newest[run.samples[0].task].run.run_id
    by_task: dict[str, list[SampleRecord]] = {task: [] for task in tasks if task in newest}
    for run in used.values():
        for sample in run.samples:
            if newest[sample.task] is run:
                by_task[sample.task].append(sample)
    chance = {task: run.run.chance[task] for task, run in newest.items() if task in run.run.chance}
    summary = summarise([sample for samples in by_task.values() for sample in samples], tasks=tasks, chance=chance)
    records = tuple(sorted((run.run for run in used.values()), key=lambda record: record.started_utc))
    return Method(
        name=name,
        slug=slug,
        model=records[0].model,
        variant=f"{records[0].model}{options(records[0])}",
        backbone=backbone_of(records[0].checkpoint, facts.backbone),
        training_data=_training_data(name, records, facts),
        runs=records,
        samples={task: tuple(samples) for task, samples in by_task.items()},
        tasks={row.name: row for row in summary.tasks},
        groups={row.name: row for row in summary.groups if set(groups[row.name]) <= set(by_task)},
        overall=summary.overall if set(tasks) <= set(by_task) else None,
    )


def _training_data(name: str, records: Sequence[RunRecord], facts: Facts) -> float | None:
    keys = (name, *(key for record in records for key in (record.run_id, record.checkpoint)))
    return next((facts.training_data[key] for key in keys if key in facts.training_data), None)


def task_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Each task once: the paper's twelve in its order, others behind as they occur."""
    known = list(SCORING)
    unique = list(dict.fromkeys(tasks))
    return tuple(sorted(unique, key=lambda task: known.index(b) if (b := benchmark(task)) in known else len(known)))


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
