"""One run: one model over one suite's tasks, with everything needed to repeat it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from visor_eval.records.provenance import Provenance
from visor_eval.records.schema import Record


class RunStatus(StrEnum):
    """How far a run came. A run that was killed stays ``started`` and can be resumed."""

    STARTED = "started"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """What was run, with which weights, settings and software."""

    SCHEMA_VERSION: ClassVar[int] = 3  # 2: `data_hashes`; 3: `sample_counts`

    run_id: str  # also the run folder's name
    model: str  # method as given to --model, e.g. "visor" or "visor+visionzip"
    checkpoint: str  # hub id, folder name (no absolute path) or "embedded:<member>"
    weights_hash: str  # SHA-256 (hex) over the checkpoint's weight files
    suite: str  # "mini" or "paper"
    suite_hash: str  # SHA-256 (hex) of the frozen suite, or of what all its tasks share
    tasks: tuple[str, ...]  # task names as lmms-eval knows them
    groups: Mapping[str, tuple[str, ...]]  # group -> its tasks, as given to --tasks
    config: Mapping[str, object]  # every setting after defaults were filled in, JSON values
    seeds: Mapping[str, int]  # e.g. {"torch": 1234, "fewshot": 1234}
    provenance: Provenance  # code, packages, machine, command
    status: str = RunStatus.STARTED  # "started" | "finished"
    started_utc: str  # ISO 8601
    finished_utc: str | None = None  # ISO 8601; None while the run is not finished
    chance: Mapping[str, float] = field(default_factory=dict)  # task -> score (0..100) of the best image-blind answerer
    duration_s: float | None = None  # wall seconds, all sessions of a resumed run together
    data_hashes: Mapping[str, str] = field(default_factory=dict)  # task -> SHA-256 (hex) of its data; empty: frozen
    sample_counts: Mapping[str, int] = field(default_factory=dict)  # task -> samples it finished with; empty: unknown
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject unknown states."""
        if self.status not in tuple(RunStatus):
            raise ValueError(f"unknown status {self.status!r}; valid: {', '.join(RunStatus)}")

    def same_data(self, other: "RunRecord") -> bool:
        """Whether the tasks that both ran have the same data; runs without a task in common: of the same suite."""
        common = self.data_hashes.keys() & other.data_hashes.keys()
        return (self.suite, self.suite_hash) == (other.suite, other.suite_hash) and all(
            self.data_hashes[task] == other.data_hashes[task] for task in common
        )
