"""Which run a command belongs to: the unfinished one with the same settings, or a new one."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from visor_eval.records import RunFolder, RunRecord, RunStatus, StoreError

logger = logging.getLogger(__name__)

FREE_SETTINGS = frozenset({"batch_size"})  # may differ between sessions: they change no answer
CODE = ("visor-eval", "lmms-eval", "torch", "transformers")  # packages whose change starts a new run


def fingerprint(run: RunRecord) -> str:
    """SHA-256 over everything that the samples of a run depend on."""
    settings = {key: value for key, value in run.to_dict()["config"].items() if key not in FREE_SETTINGS}  # type: ignore[union-attr]
    parts = {
        "model": run.model,
        "weights": run.weights_hash,
        "suite": [run.suite, run.suite_hash, dict(run.data_hashes)],
        "tasks": list(run.tasks),
        "config": settings,
        "seeds": dict(run.seeds),
        "commit": run.provenance.commit,
        "packages": {name: run.provenance.packages.get(name) for name in CODE},
    }
    return digest(parts)


def request_identity(run: RunRecord) -> str:
    """The part of a request's hash that all samples of a run share: model, weights and settings that shape answers."""
    settings = {key: run.config.get(key) for key in ("configuration", "model_args", "dtype", "device", "processor")}
    return digest({"model": run.model, "weights": run.weights_hash, "settings": settings})


def digest(value: object) -> str:
    """SHA-256 (hex) of a JSON value, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def find_unfinished(
    root: Path, wanted: RunRecord, read: Callable[[Path], RunRecord] = lambda path: RunFolder(path).read_run()
) -> RunRecord | None:
    """The newest unfinished run under ``root`` with the settings of ``wanted``; ``read`` reads a folder's record."""
    matches = []
    for path in root.iterdir() if root.is_dir() else ():
        try:
            run = read(path)
        except StoreError:
            continue
        if run.status == RunStatus.STARTED and fingerprint(run) == fingerprint(wanted):
            matches.append(run)
    return max(matches, key=lambda run: run.started_utc, default=None)


def new_run_id(root: Path, model: str, suite: str, *, now: datetime | None = None) -> str:
    """A folder name that is free under ``root``: time, model, suite."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    base = f"{stamp}-{model.replace('+', '_')}-{suite}"
    number = 1
    while (root / (name := base if number == 1 else f"{base}-{number}")).exists():
        number += 1
    return name


def file_hashes(files: Mapping[str, Path]) -> str:
    """SHA-256 over named files' contents."""
    return digest({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()})
