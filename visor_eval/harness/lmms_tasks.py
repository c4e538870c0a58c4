"""The suites' tasks as lmms-eval task objects: loaded, cut to the limit, their errors in plain words."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmms_eval.api.metrics  # noqa: F401 - registers "mean" and the metrics that task files name
from lmms_eval.api.task import ConfigurableMessagesTask
from lmms_eval.utils import load_yaml_config
from PIL import Image, UnidentifiedImageError

from visor_eval.errors import SetupError
from visor_eval.harness.samples import raw_images, unreadable
from visor_tasks.lmms_yaml import data_file, write_task
from visor_tasks.suites import Suite, TaskSpec


class SuiteTask(ConfigurableMessagesTask):
    """lmms-eval's task without its retries.

    lmms-eval tries loading and scoring five times, two seconds apart, and hides the cause in a RetryError. Neither
    heals by waiting here, so the undecorated methods run, and what they raise is what the user hears.
    """

    download = ConfigurableMessagesTask.download.__wrapped__
    process_results = ConfigurableMessagesTask.process_results.__wrapped__


@dataclass(frozen=True, kw_only=True)
class LoadedTask:
    """One task, ready to run."""

    spec: TaskSpec
    name: str  # within its suite
    task: SuiteTask
    rows: tuple[int, ...]  # documents of the full split that are run; position in the cut dataset -> original id
    available: int  # documents of the full split

    @property
    def documents(self) -> Any:
        """The documents to run, images included."""
        return self.task.dataset[self.spec.split]

    @property
    def texts(self) -> Any:
        """The documents to run, without their images (fast)."""
        return self.task.dataset_no_image[self.spec.split]


def load_tasks(
    specs: Sequence[TaskSpec], suite: Suite, scratch: Path, *, limit: int | None = None, data: Path | None = None
) -> list[LoadedTask]:
    """Load tasks.

    Args:
        specs: which benchmarks.
        suite: mini twins or the real tasks.
        scratch: folder for the generated YAML.
        limit: run at most this many documents of each task.
        data: folder of parquet files to use instead of the suite's own data (see `visor_tasks.lmms_yaml`).

    Raises:
        SetupError: data missing or out of reach; the message names the remedy.
    """
    return [_load(spec, suite, scratch, limit, data) for spec in specs]


def _load(spec: TaskSpec, suite: Suite, scratch: Path, limit: int | None, data: Path | None) -> LoadedTask:
    name = spec.name_in(suite)
    if suite is Suite.MINI and data is None and not data_file(spec).is_file():
        raise SetupError(f"the data of {name} ({data_file(spec).name}) is not installed: reinstall visor-eval")
    config = load_yaml_config(str(write_task(spec, suite, scratch, data)), mode="full")
    try:
        task = SuiteTask(config=config)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:  # lmms-eval looks at the first document
        raise unreadable(name, 0, error) from error
    except Exception as error:
        raise SetupError(_out_of_reach(spec, suite, error)) from error
    splits: dict[str, Any] = task.dataset  # type: ignore[assignment]
    texts: dict[str, Any] = task.dataset_no_image  # type: ignore[assignment]
    rows, available = select_rows(texts[spec.split], spec, limit), len(splits[spec.split])
    if len(rows) < available:
        texts[spec.split] = texts[spec.split].select(rows)
        task.task_docs = splits[spec.split] = splits[spec.split].select(rows)
    return LoadedTask(spec=spec, name=name, task=task, rows=tuple(rows), available=available)


def select_rows(texts: Any, spec: TaskSpec, limit: int | None) -> list[int]:
    """The first ``limit`` documents; where documents are scored in pairs, the first whole pairs (at least one)."""
    if limit is None or limit >= len(texts):
        return list(range(len(texts)))
    if not spec.pair_columns:
        return list(range(limit))
    pairs: dict[tuple[object, ...], list[int]] = {}
    for row, pair in enumerate(zip(*(texts[column] for column in spec.pair_columns), strict=True)):
        pairs.setdefault(pair, []).append(row)
    chosen: list[int] = []
    for members in pairs.values():
        if chosen and len(chosen) + len(members) > limit:
            break
        chosen.extend(members)
    return sorted(chosen)


def shuffled_sources(task: LoadedTask, seed: int) -> list[int]:
    """For each document another one that shows a different image (`--shuffle-images`).

    Raises:
        SetupError: more than half of the documents show the same image.
    """
    keys = [hashlib.sha256(b"".join(images)).digest() for images in raw_images(task.documents)]
    groups: dict[bytes, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    order = list(groups.values())
    random.Random(f"{seed} {task.name}").shuffle(order)
    ring = [position for group in order for position in group]
    step = max(len(group) for group in order)
    if 2 * step > len(ring):
        raise SetupError(
            f"--shuffle-images: {step} of {len(ring)} samples of {task.name} show the same image; raise --limit"
        )
    sources = [0] * len(ring)
    for place, position in enumerate(ring):
        sources[position] = ring[(place + step) % len(ring)]
    return sources


def _out_of_reach(spec: TaskSpec, suite: Suite, error: Exception) -> str:
    """One line about data that could not be loaded."""
    first_line = (str(error).strip().splitlines() or [""])[0][:200]
    cause = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    if suite is Suite.MINI:
        return f"the data of {spec.name_in(suite)} cannot be loaded ({cause}): reinstall visor-eval"
    if "Token" in type(error).__name__ or "Gated" in type(error).__name__ or "401" in first_line:
        return f"the data set of {spec.name} wants a login ({cause}): run `hf auth login` once, then the same command"
    return (
        f"the data set of {spec.name} cannot be fetched from the hub ({cause}): connect to the network, "
        "or run once where there is one and copy its HF_HOME folder, or use the built-in suite with --suite mini"
    )
