"""`visor-eval cka`: how vision features change from layer to layer."""

import argparse

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_model_flags, add_task_flags
from visor_eval.commands.requests import run_request


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "cka",
        help="similarity (linear CKA) of the vision features of all layers",
        description="Linear CKA between the vision features of all pairs of layers, per sample and per task. "
        "An unfinished run with the same settings is continued.",
    )
    add_task_flags(parser)
    parser.add_argument(
        "--unbiased", action="store_true", help="HSIC_1 instead of the paper's biased estimator (formula S1)"
    )
    add_model_flags(parser, default="dense,visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Measure, print the summary and where the records lie."""
    from visor_eval.harness.hub import prepare
    from visor_eval.harness.runner import plan

    planned = plan(run_request(options))
    prepare(offline=planned.offline)
    from visor_eval.probes.cka import run_cka

    finished = run_cka(planned, unbiased=options.unbiased)
    from visor_reports.cka import cka_table

    say(cka_table([item.run for item in finished]))
    say("written: " + ", ".join(str(item.folder) for item in finished))
    return 0
