"""A slice of any split of the mini suite as files in the real schemas, made again from the same few numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from visor_tasks.mini.freeze import DATA, content_hash, suite_hash, write_parquet
from visor_tasks.mini.rows import MME_QUESTIONS, rows
from visor_tasks.mini.stream import GENERATOR_VERSION


def write_slice(folder: Path, *, split: str, seed: int, count: int, tasks: Sequence[str]) -> dict:
    """Write ``<task>.parquet`` for each task and a manifest; returns the manifest.

    Args:
        folder: created where it is missing.
        split: "train", "dev" or "test".
        seed: of the generator's stream.
        count: rows per task; MME gets whole pairs.
        tasks: benchmark names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for task in tasks:
        samples = rows(task, split, seed, -(-count // MME_QUESTIONS) * MME_QUESTIONS if task == "mme" else count)
        write_parquet(samples, task, folder / f"{task}.parquet")
        files[task] = content_hash(samples)
    frozen = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))
    manifest = {
        "generator_version": GENERATOR_VERSION,
        "split": split,
        "seed": seed,
        "suite_sha256": suite_hash(files),
        "content_sha256": files,
        "blind_answers": {task: frozen["blind_answers"][task] for task in tasks},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return manifest
