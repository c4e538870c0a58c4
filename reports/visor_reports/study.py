"""What a results folder holds, sorted so that whatever stands in one table may be compared.

A *study* is everything that was read. A *board* is the runs that may share a table: the same suite and data (of each
task that two of them ran), the same selection of samples, the same schema version. A *method* is one row of a board: a
model with its weights and settings, with samples from one run or from several runs over different tasks. Tables,
figures and the page all read these types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visor_eval.analysis import Summary
from visor_eval.records import Provenance, RunRecord, SampleRecord
from visor_eval.records.bench import BenchRecord
from visor_eval.records.cka import CkaRun
from visor_eval.records.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """Something under the results folder that is in no table."""

    name: str  # folder or file, relative to the results folder
    reason: str  # one sentence: what is wrong, and the remedy where there is one


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What two runs must share before their numbers may stand in one table."""

    suite: str  # "mini", "paper" or another suite's name
    suite_hash: str  # of the frozen suite, or of what all its tasks share
    schema_version: int  # of the sample records
    limit: int | None  # samples per task asked for; None: all
    shuffled: bool  # every question was shown another sample's image

    @classmethod
    def of(cls, run: RunRecord, schema_version: int) -> "Setting":
        """The setting of a run, sweep or CKA run whose samples have that schema version."""
        limit = run.config.get("limit")
        return cls(
            suite=run.suite,
            suite_hash=run.suite_hash,
            schema_version=schema_version,
            limit=limit if isinstance(limit, int) else None,
            shuffled=run.config.get("shuffle_images") is True,
        )

    @property
    def label(self) -> str:
        """In words, for titles: "mini suite, first 20 samples per task"."""
        parts = [f"{self.suite} suite"]
        if self.limit is not None:
            parts.append(f"first {self.limit} samples per task")
        if self.shuffled:
            parts.append("shuffled images")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of a board.

    Attributes:
        name: unique within its board, for people: "dense", "visor [1, 4]", "m3 factor=16".
        slug: the same for file names and page anchors: lower case letters, digits and dashes.
        model: as given to ``--model``; parts are joined with "+".
        variant: model and options, without what only tells twins apart: "m3 factor=16".
        backbone: the paper's name of the backbone ("llava-ov-0.5b"), or None where it is another or unknown.
        training_data: percent of the training data that its weights saw, where the user said so.
        runs: the records of the runs its samples come from, oldest first.
        samples: task -> its samples, in document order.
        tasks: task -> score, cost and savings with intervals; only tasks that were run.
        groups: group -> plain mean over its tasks; only groups of which every task of the board was run.
        overall: plain mean over all tasks of the board; None where one is missing.
    """

    name: str
    slug: str
    model: str
    variant: str
    backbone: str | None
    training_data: float | None = None
    runs: tuple[RunRecord, ...]
    samples: Mapping[str, tuple[SampleRecord, ...]] = field(repr=False)
    tasks: Mapping[str, Summary]
    groups: Mapping[str, Summary]
    overall: Summary | None

    @property
    def is_dense(self) -> bool:
        """Whether this is the unmodified model."""
        return self.model == "dense"

    @property
    def is_imported(self) -> bool:
        """Whether its samples come from plain lmms-eval logs."""
        return any(run.config.get("imported") for run in self.runs)

    @property
    def parts(self) -> tuple[str, ...]:
        """The methods it is composed of."""
        return tuple(self.model.split("+"))

    @property
    def is_ours(self) -> bool:
        """Whether this is VISOR or a variant of it."""
        return self.model.startswith("visor")


@dataclass(frozen=True, kw_only=True)
class Board:
    """Methods that may stand in one table.

    Attributes:
        slug: file name and page anchor, unique in the study: "mini", "mini-limit-20", "paper-2".
        setting: what they share.
        tasks: lmms-eval's task names, in the paper's order, other tasks behind.
        groups: group -> its tasks, in that order.
        methods: dense first, then baselines as the paper lists them, then VISOR.
        sweeps: every configuration of a model on the same samples, oldest first.
    """

    slug: str
    setting: Setting
    tasks: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    methods: tuple[Method, ...]
    sweeps: tuple[Sweep, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """In words, with the warning that belongs to it."""
        return self.setting.label

    @property
    def dense(self) -> Method | None:
        """The unmodified model that the others are compared with; None where there is none, or several."""
        found = [method for method in self.methods if method.is_dense]
        return found[0] if len(found) == 1 else None

    def method(self, name: str) -> Method:
        """The row of that name.

        Raises:
            KeyError: there is none.
        """
        for method in self.methods:
            if method.name == name:
                return method
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that was read from a results folder.

    Attributes:
        root: the folder.
        boards: the one with most samples first; the blind controls (shuffled images) last.
        bench: timings, oldest first.
        cka: CKA runs, oldest first.
        superseded: name of a run -> name of the newer run with the same settings that is shown instead of it.
        skipped: what could not be read or is not finished, by name.
        provenance: of this report: commit, packages, command, time.
    """

    root: Path
    boards: tuple[Board, ...]
    bench: tuple[BenchRecord, ...] = field(default=(), repr=False)
    cka: tuple[CkaRun, ...] = field(default=(), repr=False)
    superseded: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    provenance: Provenance
