"""The block that every output carries: where its numbers come from and how to get them again."""

import shlex
from collections.abc import Mapping

from visor_eval.analysis.intervals import RESAMPLES, SEED
from visor_eval.records import Provenance, RunRecord
from visor_reports.study import Board, Method, Study


def provenance_lines(study: Study, board: Board | None = None) -> list[tuple[str, str]]:
    """(name, value): this report's command, code and packages, then every run behind it.

    Args:
        study: what was read.
        board: only the runs of this board; default: all.
    """
    made = study.provenance
    lines = [
        ("command", shlex.join(made.command)),
        ("made", made.utc),
        ("code", code_state(made.commit, made.dirty)),
        ("python", made.python),
        ("packages", _packages(made.packages)),
        ("intervals", f"95 % percentile bootstrap over task units, {RESAMPLES} resamples, seed {SEED}"),
        ("accounting", "paper: nominal; exact: executed decoder prefill FLOPs; end_to_end: all of it (docs/cost.md)"),
    ]
    for shown in study.boards if board is None else (board,):
        lines.append((f"suite {shown.slug}", _suite(shown)))
        lines += [line for method in shown.methods for line in method_lines(method)]
        lines += [(f"sweep {sweep.run.run_id}", _run(sweep.run)) for sweep in shown.sweeps]
    if board is None:
        lines += [(f"CKA {run.run.run_id}", _run(run.run)) for run in study.cka]
        lines += [(f"bench {record.run_id}", _made(record.provenance)) for record in study.bench]
    return lines


def method_lines(method: Method) -> list[tuple[str, str]]:
    """One line per run behind a method."""
    return [(f"run {record.run_id}", _run(record)) for record in method.runs]


def code_state(commit: str | None, dirty: bool | None) -> str:
    """A commit in words."""
    if commit is None:
        return "commit unknown"
    return f"commit {commit[:12]}{', with changes not committed' if dirty else ''}"


def _suite(board: Board) -> str:
    setting = board.setting
    records = [*(record for method in board.methods for record in method.runs), *(sweep.run for sweep in board.sweeps)]
    own = {task: value for record in records for task, value in record.data_hashes.items()}
    data = "".join(f", {task} {own[task][:12]}" for task in board.tasks if task in own)
    return f"{setting.label}; hash {setting.suite_hash[:12]}{data}; record schema {setting.schema_version}"


def _run(record: RunRecord) -> str:
    made = record.provenance
    seeds = ", ".join(f"{name} {seed}" for name, seed in sorted(record.seeds.items())) or "unknown"
    if len(set(record.seeds.values())) == 1:
        seeds = f"{next(iter(record.seeds.values()))}"
    what = f"{record.model} on {record.checkpoint} (weights {record.weights_hash[:12]})"
    return f"{what}; seeds {seeds}; started {record.started_utc}; {_made(made)}"


def _made(made: Provenance) -> str:
    parts = [
        code_state(made.commit, made.dirty),
        f"device {made.device}",
        _packages(made.packages),
        f"command {shlex.join(made.command)}",
    ]
    return "; ".join(part for part in parts if part)


def _packages(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())
