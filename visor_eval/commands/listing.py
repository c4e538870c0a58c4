"""`visor-eval list`: methods, configurations, tasks, checkpoints."""

import argparse

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_verbose, flag
from visor_eval.errors import SetupError


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser("list", help="methods, configurations, tasks, checkpoints")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="methods, configurations, tasks, checkpoints")
    flag(parser, "--tasks_path", action="store_true", help="print only the folder for lmms-eval --include_path")
    add_verbose(parser)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Print the sections asked for.

    Raises:
        SetupError: there is no such section.
    """
    if options.tasks_path:
        from visor_eval.harness.tasks_path import tasks_path

        say(str(tasks_path()))
        return 0
    sections = {
        "methods": _methods,
        "configurations": _configurations,
        "tasks": _tasks,
        "checkpoints": _checkpoints,
    }
    if unknown := [name for name in options.what if name not in sections]:
        raise SetupError(f"visor-eval list {unknown[0]}: there are {', '.join(sections)}")
    chosen = options.what or list(sections)
    say("\n\n".join("\n".join(sections[name]()) for name in chosen))
    return 0


def _methods() -> list[str]:
    from visor_eval.harness.registry import methods

    known = methods().values()
    width = max(len(method.name) for method in known) + 2
    lines = [f"  {method.name:<{width}}{method.summary}" for method in known]
    return ["methods (--model; compose with +; all: every one with an embedded checkpoint)", *lines]


def _configurations() -> list[str]:
    from visor_eval.cost.configurations import configurations

    lines = ["configurations of the 24-layer model (--config)", f"  {'router':<26}one per sample, learned"]
    for configuration in configurations(24):
        layers = ",".join(map(str, configuration))
        lines.append(f"  {layers:<26}{len(configuration)} self-attention layers")
    return lines


def _tasks() -> list[str]:
    from visor_tasks.suites import GROUPS, Suite, group_name, members

    lines = ["tasks (--tasks; suites: mini is synthetic, paper needs the hub)"]
    for group in GROUPS:
        lines.append(f"  {group}: {group_name(group, Suite.MINI)}, {group_name(group, Suite.PAPER)}")
        lines += [f"    {t.name:<16}{t.name_in(Suite.MINI):<22}{t.metric}" for t in members(group)]
    return lines


def _checkpoints() -> list[str]:
    from visor_eval.harness.checkpoints import embedded_names, read_card

    names = embedded_names()
    width = max(map(len, names), default=0) + 2
    lines = [f"  {name:<{width}}{read_card(name).get('summary', '')}".rstrip() for name in names]
    return ["embedded checkpoints (--pretrained)", *(lines or ["  none in this installation"])]
