"""What `benchmarks/claims.py` has to run, each as the visor-eval command that does the same, and where it is found.

A run that is already there is never repeated: every folder that is searched is matched by method, weights, suite and
settings, so that runs of other weights are passed over, and those of another number format than float32 or other
kernels than stock ones. Commit and package versions are not matched; the page lists them for every run it used.
"""

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import Checkpoint, find_checkpoint
from visor_eval.harness.hub import prepare
from visor_eval.harness.manifest import read_manifest
from visor_eval.harness.opening import STOCK
from visor_eval.harness.registry import default_checkpoint
from visor_eval.harness.runner import RunRequest, plan, run
from visor_eval.harness.slices import DataSlice
from visor_eval.models.files import checkpoint_folder, weights_hash
from visor_eval.records import Run, RunFolder, RunRecord, RunStatus, StoreError, Sweep, SweepFolder
from visor_eval.records.cka import CkaFolder, CkaRun
from visor_eval.records.folder import RecordFolder
from visor_eval.visor.checkpoint import read_visor_config
from visor_tasks.lmms_yaml import MINI_DATA
from visor_tasks.suites import GROUPS, Suite, resolve

logger = logging.getLogger(__name__)

Configuration = tuple[int, ...]
FOLDERS: Mapping[str, type[RecordFolder]] = {"run": RunFolder, "oracle": SweepFolder, "cka": CkaFolder}
EXACT = {"dtype": "float32", "kernels": STOCK}  # of every run; records without them are of these
SEARCH = {"split": "dev", "slice": 30, "slice_seed": 1}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command.

    Attributes:
        verb: of visor-eval.
        model: as given to ``--model``.
        pretrained: as given to ``--pretrained``; None: the method's own member.
        tasks: groups or tasks.
        model_args: as given to ``--model_args``.
        configurations: what a sweep runs; None: the checkpoint's viable ones.
        search: a sweep over all subsets, on dev data, without answers.
        limit: samples per task; None: all.
        shuffled: every question is shown another sample's image.
    """

    verb: Literal["run", "oracle", "cka"] = "run"
    model: str
    pretrained: str | None = None
    tasks: tuple[str, ...] = GROUPS
    model_args: Mapping[str, Any] = field(default_factory=dict)
    configurations: tuple[Configuration, ...] | None = None
    search: bool = False
    limit: int | None = None
    shuffled: bool = False

    @property
    def arguments(self) -> list[str]:
        """The command line behind ``visor-eval``."""
        given = [self.verb, "--model", self.model, "--tasks", ",".join(self.tasks)]
        if self.pretrained is not None:
            given += ["--pretrained", self.pretrained]
            given += [] if self.checkpoint.embedded else ["--suite", "mini"]
        if self.model_args:
            given += ["--model_args", ",".join(f"{key}={value}" for key, value in self.model_args.items())]
        if self.configurations is not None:
            given += ["--configs", ";".join(",".join(map(str, each)) or "none" for each in self.configurations)]
        given += ["--search"] * self.search + ["--shuffle_images"] * self.shuffled
        return given if self.limit is None else [*given, "--limit", str(self.limit)]

    @property
    def command(self) -> str:
        """As typed."""
        return shlex.join(["visor-eval", *self.arguments])

    @property
    def checkpoint(self) -> Checkpoint:
        """What it runs on.

        Raises:
            SetupError: it is not there.
        """
        return find_checkpoint(self.pretrained, default=self.pretrained or default_checkpoint(self.model))

    def fits(self, record: RunRecord) -> bool:
        """Whether a finished run is this one, or holds it."""
        config = record.config
        wanted = {task.name_in(Suite.MINI) for task in resolve(self.tasks, Suite.MINI)}
        same = (
            record.status == RunStatus.FINISHED
            and record.model == self.model
            and record.suite == str(Suite.MINI)
            and record.weights_hash == hash_of(self.checkpoint.source)
            and wanted <= set(record.tasks)
            and config.get("configuration") is None
            and config.get("model_args") == dict(self.model_args)
            and config.get("shuffle_images") is self.shuffled
            and config.get("limit") == self.limit
            and all(config.get(key, value) == value for key, value in EXACT.items())
        )
        if not same:
            return False
        frozen = record.suite_hash == frozen_suite()
        if self.verb == "cka":
            return frozen and config.get("estimator") == "biased"
        if self.verb == "run":
            return frozen
        if config.get("prune"):
            return False
        if self.search:
            return config.get("answers") is False and all(config.get(key) == value for key, value in SEARCH.items())
        swept = [tuple(each) for each in config.get("configurations", ())]  # type: ignore[union-attr]
        viable = self.configurations or viable_of(self.checkpoint.source)
        return frozen and config.get("answers") is True and config.get("split") == "test" and swept == list(viable)

    def request(self, output: Path) -> RunRequest:
        """What the runner takes."""
        return RunRequest(
            models=(self.model,),
            tasks=self.tasks,
            suite=Suite.MINI,
            pretrained=self.pretrained,
            model_args=dict(self.model_args),
            limit=self.limit,
            shuffle_images=self.shuffled,
            dtype=EXACT["dtype"],
            kernels=EXACT["kernels"],
            output_path=output,
        )

    def execute(self, output: Path) -> None:
        """Run it; an unfinished one is continued. Nothing is printed.

        Raises:
            SetupError: something the user can fix.
        """
        typed = ["visor-eval", *self.arguments, "--dtype", EXACT["dtype"], "--output_path", str(output)]
        with _as_if_typed(typed):
            if self.verb == "run":
                run(self.request(output))
            elif self.verb == "cka":
                planned = plan(self.request(output))
                prepare(offline=planned.offline)
                from visor_eval.probes.cka import run_cka

                run_cka(planned, unbiased=False)
            else:
                self._sweep(output)

    def _sweep(self, output: Path) -> None:
        count, seed = int(SEARCH["slice"]), int(SEARCH["slice_seed"])
        with DataSlice("dev" if self.search else "test", count, seed) as data:
            planned = plan(replace(self.request(output), data=data.folder))
            prepare(offline=planned.offline)
            data.write(planned)
            from visor_eval.probes.oracle import ALL, VIABLE, SweepRequest, run_sweep

            chosen = ";".join(",".join(map(str, each)) or "none" for each in self.configurations or ())
            wanted = ALL if self.search else chosen or VIABLE
            run_sweep(planned, SweepRequest(configurations=wanted, answers=not self.search, settings=data.settings))


@lru_cache(maxsize=64)
def hash_of(source: str) -> str:
    """Hash of a checkpoint's weights."""
    return weights_hash(checkpoint_folder(source))


@lru_cache(maxsize=1)
def frozen_suite() -> str:
    """Hash of the frozen mini suite."""
    return str(read_manifest(MINI_DATA)["suite_sha256"])


def viable_of(source: str) -> tuple[Configuration, ...]:
    """A checkpoint's viable configurations.

    Raises:
        SetupError: it is no VISOR checkpoint.
    """
    settings = read_visor_config(checkpoint_folder(source))
    if settings is None:
        raise SetupError(f"{Path(source).name} is no VISOR checkpoint")
    return settings.configurations


@contextmanager
def _as_if_typed(command: Sequence[str]) -> Iterator[None]:
    """Records name the command that repeats a run, not this script."""
    typed, sys.argv = sys.argv, list(command)
    try:
        yield
    finally:
        sys.argv = typed


@dataclass
class Shelf:
    """Everything that was run, and the means to run what is missing.

    Attributes:
        output: new runs go here.
        reused: further folders that are searched.
        used: the records of what was taken, by run id.
        failed: command -> why it could not be run.
    """

    output: Path
    reused: tuple[Path, ...] = ()
    used: dict[str, RunRecord] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    _loaded: dict[Path, Run | Sweep | CkaRun] = field(default_factory=dict)

    def take(self, job: Job, *, running: bool) -> Run | Sweep | CkaRun | None:
        """The newest result of a job; with ``running`` it is made where there is none. None: none, or it is damaged."""
        try:
            found = self._find(job)
            if found is None and running and job.command not in self.failed:
                logger.info("%s", job.command)
                self.output.mkdir(parents=True, exist_ok=True)
                job.execute(self.output)
                found = self._find(job)
            if found is None:
                return None
            if found.path not in self._loaded:
                self._loaded[found.path] = found.load()  # type: ignore[attr-defined]
        except (SetupError, RuntimeError) as error:
            self.failed[job.command] = " ".join(str(error).split())
            logger.warning("%s: %s", job.command, error)
            return None
        loaded = self._loaded[found.path]
        self.used[loaded.run.run_id] = loaded.run
        return loaded

    def why(self, job: Job) -> str:
        """Why there is no result."""
        return self.failed.get(job.command, "not run")

    def _find(self, job: Job) -> RecordFolder | None:
        kind = FOLDERS[job.verb]
        fitting = []
        for root in (self.output, *self.reused):
            for path in sorted(root.glob(f"*/{kind.RECORD_FILE}")):
                folder = kind(path.parent)
                try:
                    record = folder.read_run()
                except StoreError as error:
                    logger.warning("passed over: %s", error)
                    continue
                if job.fits(record):
                    fitting.append((record.started_utc, str(path), folder))
        return max(fitting)[2] if fitting else None
