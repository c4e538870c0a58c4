"""`visor-eval run`: models over tasks, accuracy and cost."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_model_flags, batch_size, flag, models, names

if TYPE_CHECKING:
    from visor_eval.harness.runner import RunRequest


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "run",
        help="run models over tasks and print accuracy and cost",
        description="Run models over tasks. An unfinished run with the same settings is continued.",
    )
    parser.add_argument("--tasks", default="easy,hard", help="groups (easy, hard) and task names, comma-separated")
    parser.add_argument("--suite", choices=("mini", "paper"), help="default: mini for embedded checkpoints, else paper")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N samples per task (MME: whole pairs)")
    flag(parser, "--batch_size", default="auto", help="samples per batch; auto (default) goes by image size")
    flag(parser, "--output_path", default="results", type=Path, help="runs are written below this folder")
    parser.add_argument("--seed", type=int, default=1234)
    flag(
        parser,
        "--shuffle_images",
        action="store_true",
        help="show each question another sample's image: measures what can be answered blindly",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="<task>.parquet files instead of the suite's own data")
    add_model_flags(parser, default="visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Run, print the tables and where they lie."""
    from visor_eval.harness.runner import run

    finished = run(request(options))
    from visor_reports.terminal import result_table

    say(result_table([item.run for item in finished]))
    say("written: " + ", ".join(str(item.folder) for item in finished))
    return 0


def request(options: argparse.Namespace) -> "RunRequest":
    """The flags as what the runner takes; keys of `--model_args` that are flags elsewhere go to their place."""
    from visor_eval.harness.runner import RunRequest
    from visor_eval.harness.settings import parse_options
    from visor_tasks.suites import Suite

    model_args = parse_options(options.model_args)
    for name in ("pretrained", "config", "device", "dtype"):  # lmms-eval users write these here
        if name in model_args:
            value = model_args.pop(name)
            if getattr(options, name) in (None, "auto"):
                setattr(options, name, None if value is None else str(value))
    return RunRequest(
        models=models(options.model),
        tasks=names(options.tasks),
        suite=None if options.suite is None else Suite(options.suite),
        pretrained=options.pretrained,
        config=options.config,
        model_args=model_args,
        limit=options.limit,
        batch_size=batch_size(options.batch_size),
        device=options.device,
        dtype=options.dtype,
        output_path=options.output_path,
        seed=options.seed,
        shuffle_images=options.shuffle_images,
        data=options.data,
    )
