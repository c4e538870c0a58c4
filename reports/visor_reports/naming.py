"""What runs are called in tables, in which order they stand, and on which of the paper's backbones they are built."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from visor_eval.records import RunRecord

ORDER = (  # the first part of a method's name, as the paper lists them
    "dense",
    "downsample",
    "downsample-image",
    "random",
    "visionzip",
    "visionzip-dagger",
    "sparsevlm",
    "pyramiddrop",
    "fastv",
    "vispruner",
    "vispruner-16x",
    "vispruner-trained",
    "hired",
    "m3",
)
OURS = ("visor-zero", "visor", "visor-tr")  # below the baselines

_ONEVISION = re.compile(r"(?:llava[-_.]?)?(?:onevision|ov)\b.*?(?<![\d.])(\d+(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)
_UNSAFE = re.compile(r"[^a-z0-9]+")


def method_order(record: RunRecord) -> tuple[int, int, str, int, str]:
    """Sort key of a row: dense, baselines as the paper lists them, others by name, then VISOR and its relatives."""
    first, *rest = record.model.split("+")
    if first.startswith("visor"):
        block, place = 2, OURS.index(first) if first in OURS else len(OURS)
    else:
        block, place = (0, ORDER.index(first)) if first in ORDER else (1, 0)
    return block, place, first, len(rest), record.model + options(record)


def method_names(records: Sequence[RunRecord]) -> list[str]:
    """A name for each row, all different: method, options, and of the rest what is needed to tell rows apart."""
    names = [f"{record.model}{options(record)}" for record in records]
    for detail in (
        lambda record: record.checkpoint,
        lambda record: str(record.config.get("dtype")),
        lambda record: str(record.config.get("device")),
        lambda record: f"{kernels_of(record)} kernels",
        lambda record: f"weights {record.weights_hash[:8]}",
        lambda record: f"seed {next(iter(record.seeds.values()), '-')}",
        lambda record: record.run_id,
    ):
        counts = Counter(names)
        twins = [counts[name] > 1 for name in names]
        if not any(twins):
            break
        told = Counter((name, detail(record)) for name, record in zip(names, records, strict=True))
        names = [
            f"{name} ({detail(record)})" if twin and told[name, detail(record)] < counts[name] else name
            for name, record, twin in zip(names, records, twins, strict=True)
        ]
    return names


def options(record: RunRecord) -> str:
    """What was asked for beyond the method's name: " [1, 4]", " factor=16"; empty for its defaults."""
    parts = []
    configuration = record.config.get("configuration")
    if isinstance(configuration, str) and configuration not in ("", "router"):
        layers = re.split(r"[,+\s]+", configuration.strip("[] "))
        parts.append(f"[{', '.join(layers)}]" if all(layer.isdigit() for layer in layers) else configuration)
    given = record.config.get("model_args")
    if isinstance(given, dict):
        parts += [f"{key}={value}" for key, value in sorted(given.items())]
    if record.config.get("imported"):
        parts.append("(imported log)")
    return "".join(f" {part}" for part in parts)


def kernels_of(record: RunRecord) -> str:
    """What its decoder's layers ran on; stock where the record is older than the switch."""
    return str(record.config.get("kernels", "stock"))


def slugs(names: Iterable[str]) -> list[str]:
    """File names and anchors, all different: lower case letters, digits and dashes."""
    found: list[str] = []
    for name in names:
        slug = base = _UNSAFE.sub("-", name.lower()).strip("-") or "unnamed"
        number = 1
        while slug in found:
            number += 1
            slug = f"{base}-{number}"
        found.append(slug)
    return found


def backbone_of(checkpoint: str, declared: str | None = None) -> str | None:
    """The paper's name of the backbone a checkpoint is built on: "llava-ov-0.5b"; None where nothing tells.

    Args:
        checkpoint: hub id or folder name.
        declared: what the user says about checkpoints whose name does not tell.
    """
    if checkpoint.startswith("embedded:"):
        return None
    found = _ONEVISION.search(checkpoint)
    return f"llava-ov-{found[1]}b" if found else declared
