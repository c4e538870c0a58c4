"""What sweeps say about configurations: each one's scores and cost, on the same questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from visor_eval.analysis.drawn import Drawing, Drawn, means, scores
from visor_eval.analysis.savings import ratios
from visor_eval.analysis.scores import benchmark
from visor_eval.records import Accounting, CostRecord, SampleRecord, Sweep, SweepSample

Configuration = tuple[int, ...]
GIGA = 1e9


@dataclass(frozen=True)
class Swept:
    """Sweeps of one checkpoint over the same questions, with answers.

    Attributes:
        sweeps: a configuration that several of them have is taken from the first.
        shuffled: task -> score of the same weights on shuffled images, where the sweeps' records do not know it.
    """

    sweeps: tuple[Sweep, ...]
    shuffled: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject sweeps of different weights."""
        if len({sweep.run.weights_hash for sweep in self.sweeps}) != 1:
            raise ValueError("expected sweeps of one checkpoint")

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """All of them, fewest layers first."""
        found = {each for sweep in self.sweeps for each in sweep.configurations}
        return tuple(sorted(found, key=lambda each: (len(each), each)))

    @property
    def first(self) -> Sweep:
        """The sweep of the viable configurations, with the router's choices."""
        return self.sweeps[0]

    @property
    def viable(self) -> tuple[Configuration, ...]:
        """The configurations of the first sweep."""
        return self.first.configurations

    @property
    def largest(self) -> Configuration:
        """The viable configuration with most layers."""
        return max(self.viable, key=len)

    @property
    def chance(self) -> dict[str, float]:
        """Task -> score of the best image-blind answerer."""
        return better(self.first.run.chance, self.shuffled)

    def __contains__(self, configuration: Configuration) -> bool:
        """Whether it was swept."""
        return configuration in self.configurations

    def samples(self, configuration: Configuration) -> list[SampleRecord]:
        """As if this configuration had been run alone (without cost).

        Raises:
            LookupError: it was not swept.
        """
        sweep = next((each for each in self.sweeps if configuration in each.configurations), None)
        if sweep is None:
            raise LookupError(f"configuration {list(configuration)} was not swept")
        return [sample.sample(sample.result(configuration)) for sample in sweep.samples]

    def scores(self, configuration: Configuration) -> Drawing:
        """Its scores."""
        if configuration not in self._scores:
            self._scores[configuration] = scores(self.samples(configuration))
        return self._scores[configuration]

    @cached_property
    def _scores(self) -> dict[Configuration, Drawing]:
        return {}

    def mean(self, configurations: Sequence[Configuration], name: str) -> Drawn:
        """Plain mean over configurations of a task's, group's or overall score."""
        return Drawn.mean([self.scores(each).of(name) for each in configurations])

    def of_size(self, layers: int) -> tuple[Configuration, ...]:
        """The viable configurations with so many layers."""
        return tuple(each for each in self.viable if len(each) == layers)

    @cached_property
    def routed(self) -> bool:
        """Whether a router chose for every sample of the first sweep."""
        return all(sample.routed in self.viable for sample in self.first.samples)

    @cached_property
    def router_scores(self) -> Drawing:
        """Scores of the router's choices."""
        return scores([sample.sample(sample.result(sample.routed or ())) for sample in self.first.samples])

    @cached_property
    def router_layers(self) -> Drawing:
        """Self-attention layers that the router spends."""
        chosen = {_key(sample): len(sample.routed or ()) for sample in self.first.samples}
        return means(self._bare, lambda sample: chosen[sample.task, sample.doc_id])

    @cached_property
    def router_flops(self) -> Drawing:
        """Exact FLOPs (decoder prefill) of the router's choices, the router included."""
        costs = {
            _key(sample): sample.result(sample.routed or ()).prefill_flops + sample.router_flops
            for sample in self.first.samples
        }
        return means(self._bare, lambda sample: costs[sample.task, sample.doc_id])

    def flops(self, configuration: Configuration) -> Drawing:
        """Exact FLOPs (decoder prefill) of a viable configuration, without a router."""
        costs = {_key(sample): sample.result(configuration).prefill_flops for sample in self.first.samples}
        return means(self._bare, lambda sample: costs[sample.task, sample.doc_id])

    @cached_property
    def _bare(self) -> list[SampleRecord]:
        return [sample.sample(sample.results[0]) for sample in self.first.samples]

    def best(self, name: str) -> Configuration:
        """The viable configuration with the highest score; ties to fewer layers."""
        return max(self.viable, key=lambda each: (self.scores(each).of(name).estimate, -len(each)))

    def learnt(self, configuration: Configuration) -> tuple[str, ...]:
        """Tasks whose whole interval lies above chance under this configuration."""
        found = self.scores(configuration)
        return tuple(
            task
            for task, drawn in found.tasks.items()
            if task in self.chance and drawn.interval.low > self.chance[task]
        )


def better(blind: Mapping[str, float], shuffled: Mapping[str, float]) -> dict[str, float]:
    """Task -> the higher of two chance levels, where any is known."""
    return {task: max(level.get(task, 0.0) for level in (blind, shuffled)) for task in {**blind, **shuffled}}


def chance_of(name: str, drawing: Drawing, chance: Mapping[str, float]) -> float:
    """Mean chance level of a task, a group or ``all``; NaN where one is unknown."""
    members = drawing.members(name)
    return sum(chance.get(task, float("nan")) for task in members) / len(members)


def exact_flops(samples: Sequence[SampleRecord]) -> Drawing:
    """Exact FLOPs (decoder prefill) of a run.

    Raises:
        ValueError: a cost is unknown.
    """

    def cost(sample: SampleRecord) -> float:
        return _cost(sample).total(Accounting.EXACT)

    return means(samples, cost)


def saving(samples: Sequence[SampleRecord], accounting: Accounting, name: str) -> Drawn:
    """Saving of a run against dense: plain mean over tasks of the ratio of mean costs."""
    dense = means(samples, lambda sample: _cost(sample).dense_total(accounting))
    method = means(samples, lambda sample: _cost(sample).total(accounting))
    pairs = [(dense.tasks[task], method.tasks[task]) for task in dense.members(name)]
    return Drawn.mean([Drawn(float(ratios(a.estimate, b.estimate)), ratios(a.draws, b.draws)) for a, b in pairs])


def _cost(sample: SampleRecord) -> CostRecord:
    if sample.cost is None:
        raise ValueError(f"{sample.task} {sample.doc_id}: the cost of this sample is unknown")
    return sample.cost


def _key(sample: SweepSample) -> tuple[str, str]:
    return sample.task, sample.doc_id


def layers(configuration: Configuration) -> str:
    """[1, 4]; no layer at all: cross-attention only."""
    return str(list(configuration)) if configuration else "cross-attention only"


def task_names(tasks: Sequence[str]) -> list[str]:
    """Benchmarks, without suite."""
    return [benchmark(task) for task in tasks]
