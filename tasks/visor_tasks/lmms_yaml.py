"""Write the task definitions that lmms-eval reads.

They are generated, not committed, because `include:` and the function tags need the absolute paths of the installed
lmms-eval and of the data. Including lmms-eval's YAML keeps its prompts, generation settings, filters and metrics, and
loads each task's helper module afresh (OCRBench keeps its score in a module-level dict, which an ordinary import would
let grow from run to run).
"""

import importlib.util
from pathlib import Path

import yaml

from visor_tasks import scores
from visor_tasks.suites import GROUPS, TASKS, Suite, TaskSpec, group_name, members

MINI_DATA = Path(__file__).parent / "mini" / "data"


class _Tag(str):
    """The dotted name after ``!function``."""


class _Loader(yaml.SafeLoader):
    """Reads lmms-eval's YAML without importing what its function tags name."""


class _Dumper(yaml.SafeDumper):
    """Writes the tags back."""

    def ignore_aliases(self, data: object) -> bool:
        """Write repeated values out, without anchors."""
        return True


_Loader.add_constructor("!function", lambda _, node: _Tag(node.value))
_Dumper.add_representer(_Tag, lambda dumper, tag: dumper.represent_scalar("!function", str(tag)))


def lmms_tasks_folder() -> Path:
    """The installed lmms-eval's task folder, found without importing it.

    Raises:
        LookupError: lmms-eval is not installed.
    """
    spec = importlib.util.find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("lmms-eval is not installed: pip install lmms-eval==0.7.3")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def data_file(task: TaskSpec, folder: Path = MINI_DATA) -> Path:
    """Where a task's samples lie as parquet."""
    return folder / f"{task.name}.parquet"


def definition(task: TaskSpec, suite: Suite, data: Path | None = None) -> dict[str, object]:
    """One task's YAML as a dict.

    Args:
        task: The benchmark.
        suite: The mini twin or the real task.
        data: Folder of `<task>.parquet` files in the real schema; the mini suite defaults to its frozen data, the
            paper suite to lmms-eval's own source on the hub.
    """
    source = lmms_tasks_folder() / task.source
    return {"include": str(source), "task": task.name_in(suite), **_overrides(task, suite, data)}


def write_task(task: TaskSpec, suite: Suite, folder: Path, data: Path | None = None) -> Path:
    """Write one task's YAML into ``folder`` and return the file. Arguments as in `definition`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{task.name_in(suite)}.yaml"
    file.write_text(_dump(definition(task, suite, data)))
    return file


def write_suites(folder: Path) -> Path:
    """Write the mini twins and all four groups: what plain `lmms-eval --include_path` needs. Returns ``folder``.

    The paper groups name lmms-eval's own tasks and add the score to them inline: a task file called `gqa` would be
    ignored, because built-in names win.
    """
    for task in TASKS:
        write_task(task, Suite.MINI, folder)
    for group in GROUPS:
        twins = [task.name_in(Suite.MINI) for task in members(group)]
        real = [{"task": task.name, **_overrides(task, Suite.PAPER, None)} for task in members(group)]
        for suite, entries in ((Suite.MINI, twins), (Suite.PAPER, real)):
            name = group_name(group, suite)
            mean = {"metric": scores.METRIC, "aggregation": "mean", "weight_by_size": False}
            (folder / f"{name}.yaml").write_text(
                _dump({"group": name, "task": entries, "aggregate_metric_list": [mean]})
            )
    return folder


def _overrides(task: TaskSpec, suite: Suite, data: Path | None) -> dict[str, object]:
    """What differs from lmms-eval's definition: the data and one more metric."""
    changed: dict[str, object] = {}
    if suite is Suite.MINI or data is not None:
        changed |= {
            "dataset_path": "parquet",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {task.split: str(data_file(task, data or MINI_DATA))}},
            "process_docs": None,  # gqa: would join the images from the hub
        }
    else:
        changed["dataset_kwargs"] = {}  # drops `token: True`, which demands a login for public data
    aggregation = scores.AGGREGATIONS.get(task.name, scores.mean).__name__
    metric = {
        "metric": scores.METRIC,
        "aggregation": _Tag(f"visor_tasks.scores.{aggregation}"),
        "higher_is_better": True,
    }
    own = _own(lmms_tasks_folder() / task.source)
    changed |= {
        "process_results": _Tag(f"visor_tasks.scores.{task.name}"),
        "metric_list": [*own["metric_list"], metric],  # type: ignore[misc]
    }
    if filters := own.get("filter_list"):  # one name for all tasks, or the group mean falls apart by filter name
        (only,) = filters  # type: ignore[misc]
        changed["filter_list"] = [{**only, "name": "none"}]
    return changed


def _own(source: Path) -> dict[str, object]:
    """An lmms-eval YAML with what it includes, its function tags made absolute."""
    config = yaml.load(source.read_text(encoding="utf-8"), Loader=_Loader)
    included = _own(source.parent / config.pop("include")) if "include" in config else {}
    return {**included, **_absolute(config, source.parent)}  # type: ignore[dict-item]


def _absolute(value: object, folder: Path) -> object:
    """`utils.fn` -> `/where/it/lies/utils.fn`: lmms-eval then loads that file, as it does for its own YAML."""
    if isinstance(value, _Tag):
        module, _, function = value.rpartition(".")
        return _Tag(f"{folder / module}.{function}")
    if isinstance(value, dict):
        return {key: _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    return value


def _dump(config: dict[str, object]) -> str:
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
