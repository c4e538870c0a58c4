"""`visor-eval run`: models over tasks, accuracy and cost."""

import argparse

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_kernels, add_model_flags, add_seed, add_task_flags, flag
from visor_eval.commands.requests import run_request


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "run",
        help="run models over tasks and print accuracy and cost",
        description="Run models over tasks. An unfinished run with the same settings is continued.",
    )
    add_task_flags(parser)
    add_seed(parser)
    add_kernels(parser)
    flag(
        parser,
        "--shuffle_images",
        action="store_true",
        help="show each question another sample's image: measures what can be answered blindly",
    )
    add_model_flags(parser, default="visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Run, print the tables and where they lie."""
    from visor_eval.harness.runner import run

    finished = run(run_request(options))
    from visor_reports.terminal import result_table

    say(result_table([item.run for item in finished]))
    say("written: " + ", ".join(str(item.folder) for item in finished))
    return 0
