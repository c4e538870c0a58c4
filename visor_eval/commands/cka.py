"""`visor-eval cka`: how vision features change from layer to layer."""

import argparse
from pathlib import Path

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_model_flags, batch_size, flag, models, names


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "cka",
        help="similarity (linear CKA) of the vision features of all layers",
        description="Linear CKA between the vision features of all pairs of layers, per sample and per task. "
        "An unfinished run with the same settings is continued.",
    )
    parser.add_argument("--tasks", default="easy,hard", help="groups (easy, hard) and task names, comma-separated")
    parser.add_argument("--suite", choices=("mini", "paper"), help="default: mini for embedded checkpoints, else paper")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N samples per task (MME: whole pairs)")
    parser.add_argument(
        "--unbiased", action="store_true", help="HSIC_1 instead of the paper's biased estimator (formula S1)"
    )
    flag(parser, "--batch_size", default="auto", help="samples per batch; auto (default) goes by image size")
    flag(parser, "--output_path", default="results", type=Path, help="records are written below this folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="<task>.parquet files instead of the suite's own data")
    add_model_flags(parser, default="dense,visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Measure, print the summary and where the records lie."""
    from visor_eval.harness.hub import prepare
    from visor_eval.harness.runner import RunRequest, plan
    from visor_eval.harness.settings import parse_options
    from visor_tasks.suites import Suite

    request = RunRequest(
        models=models(options.model),
        tasks=names(options.tasks),
        suite=None if options.suite is None else Suite(options.suite),
        pretrained=options.pretrained,
        config=options.config,
        model_args=parse_options(options.model_args),
        limit=options.limit,
        batch_size=batch_size(options.batch_size),
        device=options.device,
        dtype=options.dtype,
        output_path=options.output_path,
        data=options.data,
    )
    planned = plan(request)
    prepare(offline=planned.offline)
    from visor_eval.probes.cka import run_cka

    finished = run_cka(planned, unbiased=options.unbiased)
    from visor_reports.cka import cka_table

    say(cka_table([item.run for item in finished]))
    say("written: " + ", ".join(str(item.folder) for item in finished))
    return 0
