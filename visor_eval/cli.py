"""The command line: `visor-eval <verb>`. The only place that prints. Heavy imports wait until a verb needs them."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval import __version__
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.harness.runner import RunRequest

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: without the program's name; default: the process's own.

    Returns:
        Exit code: 0 done, 1 failed, 2 something the user can fix, 130 interrupted.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 2
    _configure_logging(options.verbose)
    try:
        return options.action(options)
    except SetupError as error:
        return _fail(2, error, verbose=options.verbose)
    except KeyboardInterrupt:
        _say("interrupted; finished samples are kept, the same command goes on from there", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ not in ("GenerationError", "ScoringError"):
            raise
        return _fail(1, error, verbose=options.verbose)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="visor-eval",
        description="Accuracy and true cost of vision-language models, on top of lmms-eval.",
        epilog="Example: visor-eval run --model dense,visor --tasks easy,hard",
    )
    parser.add_argument("--version", action="version", version=f"visor-eval {__version__}")
    parser.set_defaults(verbose=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    _add_run(verbs)
    _add_list(verbs)
    _add_ask(verbs)
    _add_train(verbs)
    return parser


def _add_run(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "run",
        help="run models over tasks and print accuracy and cost",
        description="Run models over tasks. An unfinished run with the same settings is continued.",
    )
    parser.add_argument("--tasks", default="easy,hard", help="groups (easy, hard) and task names, comma-separated")
    parser.add_argument("--suite", choices=("mini", "paper"), help="default: mini for embedded checkpoints, else paper")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N samples per task (MME: whole pairs)")
    _flag(parser, "--batch_size", default="auto", help="samples per batch; auto (default) goes by image size")
    _flag(parser, "--output_path", default="results", type=Path, help="runs are written below this folder")
    parser.add_argument("--seed", type=int, default=1234)
    _flag(
        parser,
        "--shuffle_images",
        action="store_true",
        help="show each question another sample's image: measures what can be answered blindly",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="<task>.parquet files instead of the suite's own data")
    _add_model_flags(parser, default="visor", several=True)
    parser.set_defaults(action=_run)


def _add_list(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("list", help="methods, configurations, tasks, checkpoints")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="methods, configurations, tasks, checkpoints")
    _flag(parser, "--tasks_path", action="store_true", help="print only the folder for lmms-eval --include_path")
    _add_verbose(parser)
    parser.set_defaults(action=_list)


def _add_ask(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("ask", help="one image, one question: answer, configuration, cost")
    parser.add_argument("image", type=Path)
    parser.add_argument("question")
    _flag(parser, "--max_new_tokens", type=int, default=64)
    _add_model_flags(parser, default="visor", several=False)
    parser.set_defaults(action=_ask)


def _add_train(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from visor_eval.training.command import add_arguments

    parser = verbs.add_parser("train", help="train the embedded family again, stage by stage; resumes")
    add_arguments(parser)
    _add_verbose(parser)
    parser.set_defaults(action=_train)


def _add_model_flags(parser: argparse.ArgumentParser, *, default: str, several: bool) -> None:
    parser.add_argument(
        "--model",
        default=default,
        help=f"method, parts joined with + (visor+visionzip){', several comma-separated' if several else ''}; "
        f"default {default}",
    )
    _flag(parser, "--model_args", metavar="K=V,...", help="options of the method; see its file")
    parser.add_argument(
        "--pretrained",
        help="embedded checkpoint, folder or hub id"
        f"{', or one per model: dense=A,visor=B' if several else ''}; default: the embedded one of the method",
    )
    parser.add_argument("--config", help="VISOR configuration: router, largest, or layers such as 1,4")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16, float16; auto: by device")
    _add_verbose(parser)


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the libraries say, and tracebacks")


def _flag(parser: argparse.ArgumentParser, name: str, **settings: object) -> None:
    """A flag spelled as in lmms-eval (underscore) and with dashes."""
    parser.add_argument(name, name.replace("_", "-"), **settings)  # type: ignore[arg-type]


def _run(options: argparse.Namespace) -> int:
    from visor_eval.harness.runner import run

    finished = run(_run_request(options))
    from visor_reports.terminal import result_table

    _say(result_table([item.run for item in finished]))
    _say("written: " + ", ".join(str(item.folder) for item in finished))
    return 0


def _run_request(options: argparse.Namespace) -> "RunRequest":
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
        models=_models(options.model),
        tasks=_names(options.tasks),
        suite=None if options.suite is None else Suite(options.suite),
        pretrained=options.pretrained,
        config=options.config,
        model_args=model_args,
        limit=options.limit,
        batch_size=_batch_size(options.batch_size),
        device=options.device,
        dtype=options.dtype,
        output_path=options.output_path,
        seed=options.seed,
        shuffle_images=options.shuffle_images,
        data=options.data,
    )


def _models(text: str) -> tuple[str, ...]:
    if text != "all":
        return _names(text)
    from visor_eval.harness.registry import ready_methods

    return ready_methods()


def _list(options: argparse.Namespace) -> int:
    if options.tasks_path:
        from visor_eval.harness.tasks_path import tasks_path

        _say(str(tasks_path()))
        return 0
    sections = {
        "methods": _list_methods,
        "configurations": _list_configurations,
        "tasks": _list_tasks,
        "checkpoints": _list_checkpoints,
    }
    if unknown := [name for name in options.what if name not in sections]:
        raise SetupError(f"visor-eval list {unknown[0]}: there are {', '.join(sections)}")
    chosen = options.what or list(sections)
    _say("\n\n".join("\n".join(sections[name]()) for name in chosen))
    return 0


def _list_methods() -> list[str]:
    from visor_eval.harness.registry import methods

    lines = [f"  {method.name:<18}{method.summary}" for method in methods().values()]
    return ["methods (--model; compose with +; all: every one with an embedded checkpoint)", *lines]


def _list_configurations() -> list[str]:
    from visor_eval.cost.configurations import configurations

    lines = ["configurations of the 24-layer model (--config)", f"  {'router':<26}one per sample, learned"]
    for configuration in configurations(24):
        layers = ",".join(map(str, configuration))
        lines.append(f"  {layers:<26}{len(configuration)} self-attention layers")
    return lines


def _list_tasks() -> list[str]:
    from visor_tasks.suites import GROUPS, Suite, group_name, members

    lines = ["tasks (--tasks; suites: mini is synthetic, paper needs the hub)"]
    for group in GROUPS:
        lines.append(f"  {group}: {group_name(group, Suite.MINI)}, {group_name(group, Suite.PAPER)}")
        lines += [f"    {t.name:<16}{t.name_in(Suite.MINI):<22}{t.metric}" for t in members(group)]
    return lines


def _list_checkpoints() -> list[str]:
    from visor_eval.harness.checkpoints import embedded_names, read_card

    names = embedded_names()
    lines = [f"  {name:<14}{read_card(name).get('summary', '')}".rstrip() for name in names]
    return ["embedded checkpoints (--pretrained)", *(lines or ["  none in this installation"])]


def _train(options: argparse.Namespace) -> int:
    from visor_eval.training.command import run

    _say(f"written: {run(options)}")
    return 0


def _ask(options: argparse.Namespace) -> int:
    from visor_eval.harness.asking import ask

    answer = ask(
        options.image,
        options.question,
        model=options.model,
        pretrained=options.pretrained,
        config=options.config,
        device=options.device,
        dtype=options.dtype,
        max_new_tokens=options.max_new_tokens,
        model_args=options.model_args,
    )
    cost = answer.cost
    configuration = "every layer" if cost.configuration is None else f"layers {list(cost.configuration)}"
    saving = cost.dense_total() / cost.total()
    _say(answer.text)
    _say(f"vision processed in: {configuration}")
    _say(
        f"vision tokens {cost.vision_tokens}, text tokens {cost.text_tokens}, generated {cost.generated_tokens}; "
        f"prefill {cost.total() / 1e9:.3f} GFLOPs, dense {cost.dense_total() / 1e9:.3f} (saving {saving:.1f}x, exact)"
    )
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise SetupError(f"--batch_size {text}: give a number, or auto") from None


def _configure_logging(verbose: bool) -> None:
    """Our own lines on stderr; the libraries' only with -v."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s" if verbose else "%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, handlers=[handler], force=True)
    for name in ("visor_eval", "visor_tasks", "visor_reports", "visor_baselines"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    if verbose:
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")  # lmms-eval's bars; ours says disable=False
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("LOGURU_AUTOINIT", "0")  # lmms-eval speaks through loguru, which then has no sink


def _fail(code: int, error: BaseException, *, verbose: bool) -> int:
    if verbose:
        logger.exception("what happened")
    _say(f"visor-eval: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _say(text: str, file: object = None) -> None:
    print(text, file=file or sys.stdout, flush=True)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
