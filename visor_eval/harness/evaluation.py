"""One pass of lmms-eval's evaluator: build requests, answer, score. Quiet, and in its own scratch folder."""

import contextlib
import io
import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager

from visor_eval.harness.lmms_models import ChatModel
from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.harness.recording import ScoringError

logger = logging.getLogger(__name__)


def evaluate(model: ChatModel, tasks: Sequence[LoadedTask], *, scratch: Path, seed: int) -> Mapping[str, Any]:
    """Run lmms-eval's `simple_evaluate` and return its results.

    Args:
        model: the wrapped engine.
        tasks: what to run, all documents of each.
        scratch: where tasks may drop their own files (textvqa, ocrbench).
        seed: for Python, NumPy, torch and few-shot sampling.

    Raises:
        ScoringError: lmms-eval returned no results for a task.
    """
    arguments = Namespace(
        output_path=str(scratch), process_with_media=False, reasoning_tags=None, agentic_trace_mode="basic"
    )
    chatter = io.StringIO()
    # ocrbench prints, and the bar of the scoring cannot be switched off; our own bar and lines hold the real stderr
    with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
        results = simple_evaluate(
            model=model,
            tasks=[task.task for task in tasks],
            task_manager=TaskManager(include_defaults=False),
            cli_args=arguments,
            log_samples=True,
            bootstrap_iters=0,  # intervals are ours, over task units
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
            distributed_executor_backend="torchrun",  # one process: spares setting up an Accelerator
            process_docs_parallel=1,
        )
    logger.debug("%s", chatter.getvalue())
    missing = [task.name for task in tasks if task.name not in (results or {}).get("results", {})]
    if missing or results is None:
        raise ScoringError(f"lmms-eval returned no results for {', '.join(missing)}")
    return results
