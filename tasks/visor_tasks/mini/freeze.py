"""``python -m visor_tasks.mini.freeze``: write the frozen test split; ``--check``: prove it can be made again.

The manifest's hashes cover decoded pixels and every other column, so they do not depend on the versions of the PNG
and parquet writers.
"""

import argparse
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from visor_tasks.mini.rows import blind_answers, rows
from visor_tasks.mini.stream import GENERATOR_VERSION
from visor_tasks.mini.wording import TASKS

DATA = Path(__file__).parent / "data"
SEED = 2026
ROWS = 120  # per task; MME: 60 pairs
_TYPES = {"index": "int64", "scienceqa_img.answer": "int64"}
_LISTS = {"answers", "options", "choices", "ocrbench.answer"}


def content_hash(samples: Iterable[dict]) -> str:
    """sha256 over decoded pixels and all other columns, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        pixels = np.asarray(Image.open(io.BytesIO(sample["image"]["bytes"])).convert("RGB"))
        rest = {name: value for name, value in sample.items() if name != "image"}
        digest.update(json.dumps([pixels.shape, rest], sort_keys=True).encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()


def suite_hash(files: dict[str, str]) -> str:
    """One hash for the whole suite, from those of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def write_parquet(samples: list[dict], task: str, path: Path) -> None:
    """Write rows so that ``load_dataset("parquet")`` decodes the image column to PIL images."""
    from datasets import Dataset, Features, Image, List, Value  # heavy, and only writing needs it

    def feature(name: str) -> object:
        if name == "image":
            return Image()
        if name in _LISTS or f"{task}.{name}" in _LISTS:
            return List(Value("string"))
        return Value(_TYPES.get(name, _TYPES.get(f"{task}.{name}", "string")))

    features = Features({name: feature(name) for name in samples[0]})
    Dataset.from_list(samples, features=features).to_parquet(path)


def read_parquet(path: Path) -> list[dict]:
    """The rows of a frozen file, images as stored."""
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def generate() -> tuple[dict[str, list[dict]], dict]:
    """All rows of the test split and the manifest that describes them."""
    samples = {task: rows(task, "test", SEED, ROWS) for task in TASKS}
    files = {task: content_hash(samples[task]) for task in TASKS}
    manifest = {
        "generator_version": GENERATOR_VERSION,
        "split": "test",
        "seed": SEED,
        "suite_sha256": suite_hash(files),
        "content_sha256": files,
        "rows": {task: len(samples[task]) for task in TASKS},
        "templates": {task: dict(sorted(Counter(row["template"] for row in samples[task]).items())) for task in TASKS},
        "blind_answers": {task: blind_answers(task) for task in TASKS},
    }
    return samples, manifest


def freeze(folder: Path) -> dict:
    """Write every task's parquet file and the manifest; returns the manifest."""
    samples, manifest = generate()
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        write_parquet(samples[task], task, folder / f"{task}.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return manifest


def check(folder: Path) -> list[str]:
    """What differs between the frozen files, their manifest and a fresh generation; empty when all agree."""
    kept = json.loads((folder / "manifest.json").read_text())
    _, fresh = generate()
    wrong = [f"manifest: {key} differs from a fresh generation" for key in fresh if kept.get(key) != fresh[key]]
    for task in TASKS:
        if content_hash(read_parquet(folder / f"{task}.parquet")) != kept["content_sha256"][task]:
            wrong.append(f"{task}.parquet: content differs from the manifest")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Freeze, or check what is frozen."""
    parser = argparse.ArgumentParser(prog="python -m visor_tasks.mini.freeze", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; regenerate and compare")
    parser.add_argument("--folder", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    if options.check:
        wrong = check(options.folder)
        sys.stdout.write("\n".join(wrong or [f"{options.folder}: unchanged"]) + "\n")
        return 1 if wrong else 0
    manifest = freeze(options.folder)
    sys.stdout.write(f"wrote {sum(manifest['rows'].values())} rows to {options.folder}: {manifest['suite_sha256']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
