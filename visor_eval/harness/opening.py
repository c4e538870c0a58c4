"""What run, sweep and CKA begin with: one model of a plan and its tasks, loaded, and a record of what will be run."""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visor_eval.errors import SetupError
from visor_eval.harness.data_hashes import data_hashes
from visor_eval.harness.manifest import read_manifest
from visor_eval.harness.registry import load_engine, takes_config
from visor_eval.harness.resume import new_run_id
from visor_eval.harness.session import Folder, Session
from visor_eval.records import RunRecord, collect_provenance, utc_now
from visor_tasks.lmms_yaml import MINI_DATA
from visor_tasks.suites import GROUPS, Suite

if TYPE_CHECKING:
    from visor_eval.harness.lmms_tasks import LoadedTask
    from visor_eval.harness.runner import Plan, RunRequest
    from visor_eval.models.engine import Engine

logger = logging.getLogger(__name__)

STOCK = "stock"  # kernels: the modules as transformers made them


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model and its tasks, ready to run."""

    planned: "Plan"
    model: str
    config: str | None  # of the model: None where `--config` means nothing to it
    engine: "Engine"
    tasks: "tuple[LoadedTask, ...]"
    weights: str  # SHA-256 over the checkpoint
    processor: str  # SHA-256 over its processor's files
    device: str
    dtype: str
    scratch: Path  # for files that nobody wants later
    started: float  # ``time.monotonic`` before loading

    def begin(
        self,
        folder: type[Folder],
        *,
        kind: str | None = None,
        settings: Mapping[str, Any],
        chance: Mapping[str, float] | None = None,
    ) -> Session[Folder]:
        """Begin or continue.

        Args:
            folder: what the record lies in.
            kind: what probes add to the folder's name: sweep, cka.
            settings: further entries of the record's ``config``.
            chance: task -> score of an image-blind answerer.
        """
        wanted = self._record(kind, settings)
        root = self.planned.request.output_path
        return Session.begin(folder, root, wanted, chance=chance or {}, started=self.started)

    def chance_levels(self) -> dict[str, float]:
        """Task -> score of the best image-blind answerer known, for the tasks where one is."""
        from visor_eval.harness.chance import chance_level

        planned, checkpoint = self.planned, self.planned.checkpoints[self.model]
        mini = planned.suite is Suite.MINI
        blind = read_manifest(planned.request.data or MINI_DATA).get("blind_answers", {}) if mini else {}
        levels = {task.name: chance_level(task, blind.get(task.spec.name, {}), checkpoint) for task in self.tasks}
        return {name: level for name, level in levels.items() if level is not None}

    def _record(self, kind: str | None, settings: Mapping[str, Any]) -> RunRecord:
        planned, request = self.planned, self.planned.request
        hashes = data_hashes(planned.suite, self.tasks, request.data)
        groups = {
            group: tuple(task.name_in(planned.suite) for task in planned.tasks if task.group == group)
            for group in GROUPS
        }
        return RunRecord(
            run_id=new_run_id(request.output_path, f"{kind}-{self.model}" if kind else self.model, planned.suite),
            model=self.model,
            checkpoint=planned.checkpoints[self.model].label,
            weights_hash=self.weights,
            suite=str(planned.suite),
            suite_hash=hashes.suite,
            data_hashes=hashes.tasks,
            tasks=tuple(task.name for task in self.tasks),
            groups={group: tasks for group, tasks in groups.items() if tasks},
            config={
                "configuration": self.config,
                "model_args": dict(request.model_args),
                "device": self.device,
                "dtype": self.dtype,
                "kernels": request.kernels,
                "processor": self.processor,
                "batch_size": request.batch_size or "auto",
                "limit": request.limit,
                "shuffle_images": request.shuffle_images,
                **settings,
            },
            seeds=dict.fromkeys(("python", "numpy", "torch", "fewshot", "shuffle"), request.seed),
            provenance=collect_provenance(device=self.device),
            started_utc=utc_now(),
        )


@contextmanager
def opened(planned: "Plan", model: str) -> Iterator[Opened]:
    """Load one model of a plan and the tasks; its kernels stay switched until the block ends.

    Raises:
        SetupError: something the user can fix.
    """
    started, request, checkpoint = time.monotonic(), planned.request, planned.checkpoints[model]
    logger.info("%s: loading model and tasks", model)
    from visor_eval.harness.lmms_tasks import load_tasks
    from visor_eval.harness.settings import resolve_device, resolve_dtype
    from visor_eval.models.files import checkpoint_folder, processor_hash, weights_hash

    config = _config_of(model, request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="visor-eval-")))
        tasks = load_tasks(planned.tasks, planned.suite, scratch, limit=request.limit, data=request.data)
        engine = load_engine(
            model, pretrained=checkpoint.source, device=device, dtype=dtype, config=config, **request.model_args
        )
        if request.kernels != STOCK:
            stack.enter_context(_switched(engine, model, request.kernels))
        folder = checkpoint_folder(checkpoint.source)
        yield Opened(
            planned=planned,
            model=model,
            config=config,
            engine=engine,
            tasks=tuple(tasks),
            weights=weights_hash(folder),
            processor=processor_hash(folder),
            device=device,
            dtype=dtype,
            scratch=scratch,
            started=started,
        )


@contextmanager
def _switched(engine: "Engine", model: str, name: str) -> Iterator[None]:
    from visor_eval.models.kernels import kernels

    decoder = getattr(engine, "decoder", None)
    if decoder is None:
        raise SetupError(f"--kernels {name}: {model} brings an engine of its own, which has no such switch")
    with kernels(name, [decoder]):
        yield


def _config_of(model: str, request: "RunRequest") -> str | None:
    """``--config`` for ``model``: left out where another of the models is meant (where none is, ``model`` refuses)."""
    if request.config is None or takes_config(model) or not any(takes_config(other) for other in request.models):
        return request.config
    logger.info("%s: has no configurations, --config %s does not apply", model, request.config)
    return None
