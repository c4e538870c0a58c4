"""From the flags that `run`, `oracle` and `cka` share to what the runner takes."""

import argparse
from typing import TYPE_CHECKING

from visor_eval.commands.flags import batch_size, models, names

if TYPE_CHECKING:
    from visor_eval.harness.runner import RunRequest

FLAGS_TOO = ("pretrained", "config", "device", "dtype")  # lmms-eval users write these into --model_args
NOT_EVERYWHERE = ("seed", "shuffle_images", "kernels")  # flags that some of the verbs lack


def run_request(options: argparse.Namespace) -> "RunRequest":
    """The flags of `add_task_flags` and `add_model_flags` as a request.

    Raises:
        SetupError: a flag or `--model_args` that cannot be read.
    """
    from visor_eval.harness.runner import RunRequest
    from visor_tasks.suites import Suite

    given = read_model_args(options)
    return RunRequest(
        models=models(given.model, given.pretrained),
        tasks=names(given.tasks),
        suite=None if given.suite is None else Suite(given.suite),
        pretrained=given.pretrained,
        config=given.config,
        model_args=given.model_args,
        limit=given.limit,
        batch_size=batch_size(given.batch_size),
        device=given.device,
        dtype=given.dtype,
        output_path=given.output_path,
        data=given.data,
        **{name: getattr(given, name) for name in NOT_EVERYWHERE if hasattr(given, name)},
    )


def read_model_args(options: argparse.Namespace) -> argparse.Namespace:
    """A copy with `--model_args` as a dictionary; those that are flags too stand there, where the flag was not given.

    Raises:
        SetupError: a piece is no key=value pair.
    """
    from visor_eval.harness.settings import parse_options

    given = argparse.Namespace(**vars(options))
    given.model_args = parse_options(options.model_args)
    for name in FLAGS_TOO:
        value = given.model_args.pop(name, None)
        if value is not None and getattr(given, name) in (None, "auto"):
            setattr(given, name, str(value))
    return given
