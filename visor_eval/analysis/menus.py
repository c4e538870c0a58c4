"""What could have been chosen for every sample: the configurations of a sweep, or of plain runs, side by side.

The oracle's choice is supplement S4's: the configuration with most generated tokens equal to the reference up to the
first mismatch; ties go to fewer self-attention layers, then to fewer FLOPs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from visor_eval.records import Run, SampleRecord, SweepSample

Configuration = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One configuration on one sample."""

    configuration: Configuration
    merit: float  # what the oracle maximises
    score: float  # contribution to the task's score, 0..1
    flops: float  # exact accounting of the fixed plan


@dataclass(frozen=True, kw_only=True)
class Menu:
    """One sample with everything that may be chosen for it."""

    sample: SampleRecord  # its score and cost are not read
    options: tuple[Option, ...]
    dense_flops: float
    routed: int | None = None  # index of the router's choice
    router_flops: float = 0.0


def oracle_choice(sample: SweepSample) -> int:
    """Index into ``sample.results``: most matched tokens; ties to fewer layers, then fewer FLOPs, then the order."""
    return best_option(
        [
            Option(configuration=r.configuration, merit=r.matched, score=r.score or 0.0, flops=r.prefill_flops)
            for r in sample.results
        ]
    )


def best_option(options: Sequence[Option]) -> int:
    """Index of the option with most merit; ties to fewer layers, then fewer FLOPs, then the order."""
    return min(
        range(len(options)),
        key=lambda index: (-options[index].merit, len(options[index].configuration), options[index].flops, index),
    )


def menus_of_sweep(samples: Sequence[SweepSample], *, by_score: bool = False) -> list[Menu]:
    """What a sweep found.

    Args:
        samples: of one sweep.
        by_score: let the oracle maximise the sample's part in the task's score instead of matched tokens.

    Raises:
        ValueError: nothing was generated, so that there are no task scores.
    """
    menus = []
    for sample in samples:
        options = []
        for result in sample.results:
            if result.score is None:
                raise ValueError(f"{sample.task} {sample.doc_id}: this sweep generated no answers, so it has no scores")
            options.append(
                Option(
                    configuration=result.configuration,
                    merit=result.score if by_score else result.matched,
                    score=result.score,
                    flops=result.prefill_flops,
                )
            )
        order = [option.configuration for option in options]
        menus.append(
            Menu(
                sample=sample.sample(sample.results[0]),
                options=tuple(options),
                dense_flops=sample.dense_prefill_flops,
                routed=order.index(sample.routed) if sample.routed in order else None,
                router_flops=sample.router_flops,
            )
        )
    return menus


def menus_of_runs(runs: Sequence[Run], router: Run | None = None) -> list[Menu]:
    """The same from plain runs, one per fixed configuration; the oracle maximises the sample's score.

    Args:
        runs: over the same samples, each with one configuration (`--config 1,4`).
        router: a run of the same model that chose for itself; its choices must be among the configurations.

    Raises:
        ValueError: a run has no costs or several configurations, two have the same, or samples differ.
    """
    tables = [{(sample.task, sample.doc_id): sample for sample in run.samples} for run in runs]
    configurations = [_configuration(run) for run in runs]
    if not runs or len(set(configurations)) < len(runs):
        raise ValueError(f"expected one run per configuration, got {configurations}")
    if any(table.keys() != tables[0].keys() for table in tables):
        raise ValueError("the runs answered different samples; give each the same --tasks and --limit")
    routed = {} if router is None else {(sample.task, sample.doc_id): sample for sample in router.samples}
    menus = []
    for key, first in tables[0].items():
        cost = None if router is None else routed[key].cost
        menus.append(
            Menu(
                sample=first,
                options=tuple(
                    Option(
                        configuration=configuration,
                        merit=table[key].score,
                        score=table[key].score,
                        flops=_plan_flops(table[key]),
                    )
                    for configuration, table in zip(configurations, tables, strict=True)
                ),
                dense_flops=first.cost.dense_total(),  # type: ignore[union-attr]
                routed=None if cost is None else configurations.index(cost.configuration or ()),
                router_flops=0 if cost is None else cost.prefill.router,
            )
        )
    return menus


def _plan_flops(sample: SampleRecord) -> float:
    """Exact cost without the router's part."""
    assert sample.cost is not None
    return sample.cost.total() - sample.cost.prefill.router


def _configuration(run: Run) -> Configuration:
    found = {None if sample.cost is None else sample.cost.configuration for sample in run.samples}
    if len(found) != 1 or (configuration := found.pop()) is None:
        raise ValueError(f"run {run.run.run_id} is not one of a single fixed configuration with known costs")
    return configuration
