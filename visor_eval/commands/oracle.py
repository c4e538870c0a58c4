"""`visor-eval oracle`: the cheapest best configuration of every sample; the search for viable ones; router labels."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_kernels, add_model_flags, add_seed, add_task_flags, flag
from visor_eval.commands.requests import run_request
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.probes.oracle import FinishedSweep
    from visor_eval.records import Run, Sweep

LABEL_SEED = 7_000_001


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "oracle",
        help="every configuration on every sample in about one pass: oracle, router and fixed ones side by side",
        description="Sweep all configurations of a model over the samples, sharing the layers on which they agree. "
        "An unfinished sweep with the same settings is continued.",
    )
    add_task_flags(parser)
    add_seed(parser)
    add_kernels(parser)
    parser.add_argument(
        "--configs",
        metavar="all|viable|1,4;1,7",
        help="viable: the checkpoint's own (default); all: every subset of its candidate layers (default of --search)",
    )
    flag(parser, "--no_answers", action="store_true", help="only the oracle's scores: no text, no task metrics")
    parser.add_argument("--search", action="store_true", help="rank all subsets and propose viable configurations (S1)")
    parser.add_argument(
        "--prune", action="store_true", help="--search: drop configurations that are hopeless on the first samples"
    )
    parser.add_argument(
        "--labels",
        choices=("per-dataset", "per-sample"),
        help="write router labels: the cheapest configuration as good as the largest, from training data only",
    )
    parser.add_argument(
        "--split",
        choices=("test", "dev", "train"),
        help="mini suite: which data; default test, with --search dev, with --labels train (the only one allowed)",
    )
    parser.add_argument(
        "--slice", type=int, metavar="N", help="samples per task of a dev or train slice; default 60, with --search 30"
    )
    flag(
        parser,
        "--slice_seed",
        type=int,
        help=f"seed of that slice; default 1, with --labels {LABEL_SEED}, which no training of the family used",
    )
    parser.add_argument(
        "--dense",
        type=Path,
        metavar="RUN",
        help="folder of a dense run of the same samples, to stand beside; default: the newest one below --output_path",
    )
    parser.add_argument("--keep", type=int, default=13, metavar="N", help="--search: configurations to propose")
    parser.add_argument("--target", type=float, default=0.99, help="--labels: share of the full model's score to reach")
    add_model_flags(parser, default="visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Sweep, print what came out and where it lies."""
    from visor_eval.harness.hub import prepare
    from visor_eval.harness.runner import plan
    from visor_eval.harness.slices import DataSlice, chosen_split, refuse_evaluation_images

    request = run_request(options)
    if request.config is not None:
        raise SetupError(f"--config {request.config}: a sweep runs several; choose them with --configs")
    if options.prune and not options.search:
        raise SetupError("--prune belongs to --search: an oracle needs every configuration on every sample")
    if options.labels is not None and options.no_answers:
        raise SetupError("--labels need the tasks' scores: leave --no_answers out")
    if options.dense is not None:
        if options.search or options.labels is not None or options.no_answers:
            raise SetupError("--dense stands in the oracle's own table: leave out --search, --labels and --no_answers")
        _read_dense(options.dense)  # mistakes before the sweep, not behind it
    split = chosen_split(options.split, search=options.search, labels=options.labels is not None, data=request.data)
    size = options.slice if options.slice is not None else 30 if options.search else 60
    seed = options.slice_seed if options.slice_seed is not None else 1 if options.labels is None else LABEL_SEED
    with DataSlice(split, size, seed) as data:
        planned = plan(replace(request, data=request.data or data.folder))
        prepare(offline=planned.offline)
        data.write(planned)
        if options.labels is not None and planned.request.data is not None:
            refuse_evaluation_images(planned.request.data)
        from visor_eval.probes.oracle import ALL, VIABLE, SweepRequest, run_sweep

        finished = run_sweep(
            planned,
            SweepRequest(
                configurations=options.configs or (ALL if options.search else VIABLE),
                answers=not (options.no_answers or options.search),
                prune=options.prune,
                settings=data.settings,
            ),
        )
    for item in finished:
        _show(options, item)
    return 0


def _show(options: argparse.Namespace, finished: "FinishedSweep") -> None:
    sweep, folder = finished.sweep, finished.folder
    if options.search:
        from visor_eval.analysis.viable import search
        from visor_reports.viable import search_table

        say(_heading(finished))
        say(search_table(search(sweep.samples, keep=options.keep)))
    elif options.labels is not None:
        from visor_eval.analysis.labels import pseudo_labels
        from visor_reports.labels import labels_table

        labels = pseudo_labels(sweep, options.labels, target=options.target)
        path = folder / f"labels-{options.labels}.json"
        labels.write(path)
        say(_heading(finished))
        say(labels_table(labels))
        say(f"labels for `visor-eval train visor/router --labels`: {path}")
    elif options.no_answers:
        from visor_reports.viable import matches_table

        say(_heading(finished))
        say(matches_table(sweep.samples))
    else:
        from visor_eval.analysis.oracle import oracle_report
        from visor_reports.oracle import oracle_table

        dense, line = _dense_beside(options, sweep)
        beside = () if dense is None else dense.samples
        report = oracle_report(sweep.samples, chance=sweep.run.chance, tasks=sweep.run.tasks, dense=beside)
        say(f"{_heading(finished)}\n{line}")
        say(oracle_table(report))
    say(f"written: {folder}")


def _dense_beside(options: argparse.Namespace, sweep: "Sweep") -> "tuple[Run | None, str]":
    """The dense run to show, and a line that names it or says why there is none."""
    from visor_eval.analysis.dense_run import find_dense_run, misfit

    if options.dense is None:
        dense = find_dense_run(options.output_path, sweep)
        reason = f"none of these samples in {options.output_path} (visor-eval run --model dense, or --dense RUN)"
    else:
        dense = _read_dense(options.dense)
        reason = misfit(dense, sweep)
        dense = dense if reason is None else None
    return dense, f"dense: {reason if dense is None else f'{dense.run.run_id} ({dense.run.checkpoint})'}"


def _read_dense(folder: Path) -> "Run":
    from visor_eval.analysis.dense_run import read_dense_run
    from visor_eval.records import StoreError

    try:
        return read_dense_run(folder)
    except StoreError as error:
        raise SetupError(f"--dense: {error}") from error


def _heading(finished: "FinishedSweep") -> str:
    from visor_reports.names import suite_label

    run, data = finished.sweep.run, finished.sweep.run.config.get("split")
    split = "" if data == "test" else f", {data} data"
    return (
        f"[{suite_label(run.suite)}{split}]\n\n{run.model}  ({run.checkpoint}, "
        f"{len(finished.sweep.configurations)} configurations, {len(finished.sweep.samples)} samples, {run.run_id})"
    )
