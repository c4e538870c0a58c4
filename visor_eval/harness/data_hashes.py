"""What says that two runs had the same data: a frozen suite's own hash, or one for each task."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from visor_eval.harness.manifest import read_manifest
from visor_eval.harness.resume import digest, file_hashes
from visor_tasks.lmms_yaml import MINI_DATA, data_file, lmms_tasks_folder
from visor_tasks.suites import Suite

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask


class DataHashes(NamedTuple):
    """As a `RunRecord` holds them (SHA-256, hex)."""

    suite: str  # of what all tasks share; the same for every choice of tasks
    tasks: dict[str, str]  # task -> of its own data; empty where the suite is frozen as a whole


def data_hashes(suite: Suite, tasks: Sequence["LoadedTask"], data: Path | None) -> DataHashes:
    """Hashes of what will be run.

    A frozen suite (a folder with a manifest) has one hash. Elsewhere each task is hashed alone, so that runs over
    different tasks of one suite stay comparable: lmms-eval's definition with the local file's content, or, where the
    hub has the data, with the number of documents.

    Args:
        suite: mini or paper.
        tasks: as loaded.
        data: the user's folder of parquet files, if any.

    Raises:
        SetupError: a damaged manifest.
    """
    folder = data or (MINI_DATA if suite is Suite.MINI else None)
    if folder is not None and (frozen := read_manifest(folder).get("suite_sha256")):
        return DataHashes(str(frozen), {})
    shared = digest([str(suite), "lmms-eval", importlib.metadata.version("lmms-eval")])
    return DataHashes(shared, {task.name: _own(task, folder) for task in tasks})


def _own(task: "LoadedTask", folder: Path | None) -> str:
    files = {"definition": lmms_tasks_folder() / task.spec.source}
    if folder is None:
        return digest([file_hashes(files), task.available])
    return file_hashes({**files, "data": data_file(task.spec, folder)})
