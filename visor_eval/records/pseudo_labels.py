"""What a router learns: for each data set or sample the configuration it should choose, and the rules behind it.

The rules work on plain numbers, so that analyses of sweeps and router training share them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from visor_eval.records.folder import StoreError, write_atomically
from visor_eval.records.schema import Record

PER_DATASET, PER_SAMPLE = "per-dataset", "per-sample"
TARGET = 0.99  # of the full model's score (the paper)


@dataclass(frozen=True, kw_only=True)
class PseudoLabels(Record):
    """Labels from training data, as a file that router training reads."""

    SCHEMA_VERSION: ClassVar[int] = 1

    rule: str  # "per-dataset" | "per-sample"
    target: float  # per-dataset: share of the full model's score that the label reaches
    full: tuple[int, ...]  # the full model: the largest of the configurations
    configurations: tuple[tuple[int, ...], ...]  # that were compared, cheapest first
    by_task: Mapping[str, tuple[int, ...]]  # benchmark (gqa, docvqa_val, ...) -> label; empty with per-sample
    by_sample: Mapping[str, tuple[int, ...]]  # `sample_id` -> label; empty with per-dataset
    scores: Mapping[str, tuple[float, ...]]  # benchmark -> score (0..100) of each configuration on these samples
    samples: Mapping[str, int]  # benchmark -> samples that were looked at
    checkpoint: str  # as in RunRecord
    weights_hash: str  # as in RunRecord
    data: Mapping[str, object]  # where the samples come from: suite, split, slice, seed, hash
    run_id: str  # of the sweep
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject unknown rules and labels that are no configuration."""
        if self.rule not in (PER_DATASET, PER_SAMPLE):
            raise ValueError(f"unknown rule {self.rule!r}; valid: {PER_DATASET}, {PER_SAMPLE}")
        strangers = {*self.by_task.values(), *self.by_sample.values()} - set(self.configurations)
        if strangers:
            raise ValueError(f"labels {sorted(strangers)} are not among the configurations compared")

    def write(self, path: Path) -> None:
        """Write or replace the file."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "PseudoLabels":
        """Read a file; StoreError if it is missing or damaged."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path.name}: {error}") from error


def cheapest_reaching(scores: Sequence[float], full: int, target: float = TARGET) -> int:
    """The per-dataset rule: the first configuration with at least ``target`` of the full one's score.

    Args:
        scores: of the configurations, cheapest first.
        full: index of the full model.
        target: share of its score.
    """
    return next(index for index, score in enumerate(scores) if score >= target * scores[full])


def cheapest_equal(scores: Sequence[float], full: int) -> int:
    """The per-sample rule: the first configuration, cheapest first, with the same score as the full one."""
    return next(index for index, score in enumerate(scores) if score == scores[full])


def sample_id(image_hashes: Sequence[str], prompt: str) -> str:
    """Names a question by what a model sees of it: SHA-256 (hex) over image hashes and the user turn."""
    return hashlib.sha256(json.dumps([list(image_hashes), prompt]).encode()).hexdigest()
