"""A bench: how long each phase of each method took, beside what was predicted, and the folder that holds it."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from visor_eval.records.folder import StoreError, write_atomically
from visor_eval.records.provenance import Provenance
from visor_eval.records.schema import Record

BENCH_FILE = "bench.json"


class Phase(StrEnum):
    """What is timed, in the order in which it happens."""

    TOWER = "tower"  # vision tower over all tiles, with the hooks that a reducer needs
    REDUCER = "reducer"  # scores from what was caught, selection, layout
    PROJECTOR = "projector"
    PREFILL = "prefill"  # decoder, prompt to the logits of the first new token, pruning included
    DECODE = "decode"  # one decode step
    END_TO_END = "end_to_end"  # tower to the last of the decode steps


@dataclass(frozen=True, kw_only=True)
class PhaseTiming(Record):
    """One phase of one method."""

    phase: str  # a `Phase`
    seconds: tuple[float, ...]  # of the whole batch, one per round; round i of all methods ran side by side
    flops: int  # dispatched for the whole batch, all query-key pairs asked for (decode: the mean of the steps)
    flops_causal: int  # the same, only pairs that the causal mask lets through

    def __post_init__(self) -> None:
        """Reject unknown phases and what was not measured."""
        if self.phase not in tuple(Phase):
            raise ValueError(f"unknown phase {self.phase!r}; valid: {', '.join(Phase)}")
        if not self.seconds or min(self.seconds) <= 0:
            raise ValueError(f"{self.phase}: seconds must be positive, one per round, got {self.seconds}")


@dataclass(frozen=True, kw_only=True)
class BenchEntry(Record):
    """One method on one number of vision tokens."""

    method: str  # as given to --model; "transformers" is the stock forward
    configuration: tuple[int, ...] | None  # full layers, from 1; None: no such choice
    dense_vision_tokens: int  # of the image, in the dense model
    vision_tokens: int  # that enter the decoder
    timings: tuple[PhaseTiming, ...]
    kv_cache_bytes: int | None  # held after the last decode step, by formula; None: not known
    kv_cache_bytes_held: int | None  # the same, as allocated; None: not measured
    peak_bytes: int | None  # most memory held beyond the weights during prefill and decode; None: not measured

    def timing(self, phase: str) -> PhaseTiming | None:
        """The timing of ``phase``, or None."""
        return next((timing for timing in self.timings if timing.phase == phase), None)

    @property
    def label(self) -> str:
        """Method, with its configuration where it has one."""
        return self.method if self.configuration is None else f"{self.method} {list(self.configuration)}"


@dataclass(frozen=True, kw_only=True)
class BenchRecord(Record):
    """What one call of the bench measured."""

    SCHEMA_VERSION: ClassVar[int] = 1

    run_id: str  # also the folder's name
    backbone: str  # shape preset or checkpoint name
    random_weights: bool
    layers: int  # of the decoder
    dtype: str
    hardware: str  # processor or accelerator, in words
    threads: int
    kernels: str  # what the decoder's layers ran on: stock, packed, compiled
    batch_size: int
    text_tokens: int  # all behind the image
    decode_steps: int
    rounds: int
    entries: tuple[BenchEntry, ...]
    provenance: Provenance
    schema_version: int = field(default=SCHEMA_VERSION)

    def reference(self, entry: BenchEntry) -> BenchEntry:
        """The dense entry of the same image.

        Raises:
            LookupError: dense was not measured on it.
        """
        for other in self.entries:
            if other.method == "dense" and other.dense_vision_tokens == entry.dense_vision_tokens:
                return other
        raise LookupError(f"dense was not measured on {entry.dense_vision_tokens} vision tokens")

    @property
    def vision_tokens(self) -> tuple[int, ...]:
        """The images measured, by their vision tokens in the dense model."""
        return tuple(sorted({entry.dense_vision_tokens for entry in self.entries}))


@dataclass(frozen=True)
class BenchFolder:
    """A bench on disk."""

    path: Path

    def write(self, record: BenchRecord) -> None:
        """Write or replace ``bench.json``."""
        write_atomically(self.path / BENCH_FILE, json.dumps(record.to_dict(), indent=1, allow_nan=False) + "\n")

    def load(self) -> BenchRecord:
        """Read ``bench.json``.

        Raises:
            StoreError: missing or damaged, with the file's name.
        """
        path = self.path / BENCH_FILE
        try:
            return BenchRecord.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path.name}/{BENCH_FILE}: {error}") from error
