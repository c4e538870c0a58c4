"""The command line: `visor-eval <verb>`. Each verb is a file in `commands/`; heavy imports wait for it."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from visor_eval import __version__
from visor_eval.commands import ask, bench, cka, flops, listing, oracle, report, run, train
from visor_eval.commands.console import warn
from visor_eval.errors import SetupError

VERBS = (run, oracle, report, flops, cka, bench, listing, ask, train)
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
        warn("interrupted; finished samples are kept, the same command goes on from there")
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
    for verb in VERBS:
        verb.add(verbs)
    return parser


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
    warn(f"visor-eval: {' '.join(str(error).split())}")
    return code


if __name__ == "__main__":
    sys.exit(main())
