"""The sections of docs/claims.md, each computed from what `claim_runs.py` finds or runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from transformers import LlavaOnevisionConfig

from benchmarks.claim_runs import Job, Shelf, viable_of
from visor_eval.analysis import claims
from visor_eval.analysis.claims.reduction import RIVALS, Contender
from visor_eval.analysis.claims.swept import Swept, exact_flops
from visor_eval.analysis.drawn import scores
from visor_eval.analysis.image_sizes import read_image_sets
from visor_eval.analysis.matching import Asked, Options, first_reaching, ladder
from visor_eval.analysis.viable import search
from visor_eval.cost.anyres import AnyRes
from visor_eval.cost.estimate import vision_counts
from visor_eval.cost.shapes import BackboneShape
from visor_eval.errors import SetupError
from visor_eval.harness.chance import CARD_KEY
from visor_eval.harness.checkpoints import embedded_names, find_checkpoint, read_card
from visor_eval.harness.registry import default_checkpoint
from visor_eval.models.files import checkpoint_folder
from visor_eval.models.shapes import backbone_shape
from visor_eval.records import Run, SampleRecord, Sweep
from visor_eval.records.cka import CkaRun
from visor_reports.claims import Section
from visor_tasks.lmms_yaml import MINI_DATA
from visor_tasks.suites import GROUPS, group_of

logger = logging.getLogger(__name__)

OF_CHANCE = ("quality", "c1", "c2", "c7")  # parts that ask what is above chance
MATCHED = (*RIVALS, "random", "m3-trained", "vispruner-trained", "visionzip-dagger")
PUBLISHED = (*RIVALS, "vispruner-16x", "random", "m3-trained", "vispruner-trained", "vispruner-16x-trained")
PUBLISHED += ("visionzip-dagger",)
COMPOSED = ("visor+visionzip", "visor+vispruner")
STAGE_2 = "visor-stage2-tiny"  # for C1 and C2; on the way to the paper's model, so no row of the headline table
NEXT_BUDGETS = 6  # tried above the one that closed form says, where padding or allocation cost tokens


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Checkpoints, as given to ``--pretrained``; None: the embedded member."""

    visor: str | None = None
    dense: str | None = None
    stage2: str | None = None
    second: Mapping[str, str] = field(default_factory=dict)  # method or embedded member -> its second seed

    def of(self, model: str) -> str | None:
        """What a method runs on."""
        if model.split("+")[0].startswith("visor"):
            return self.visor
        return None if model.endswith(("-trained", "-dagger")) else self.dense


@dataclass
class Bench:
    """What is run and computed for one page."""

    shelf: Shelf
    weights: Weights
    parts: tuple[str, ...]  # for which something may be run
    limit: int | None = None
    cka_limit: int | None = 30
    commands: dict[str, list[str]] = field(default_factory=dict)  # part -> what it is made of
    blind_only: set[str] = field(default_factory=set)  # checkpoints without a score on shuffled images
    broken: list[str] = field(default_factory=list)  # claims that raised an error
    _swept: dict[tuple[str, ...], Swept] = field(default_factory=dict)  # ids of the sweeps -> what they say
    _rows: dict[tuple[str, str], Contender] = field(default_factory=dict)  # (id of the run, setting) -> its row

    def run(self, part: str, job: Job) -> Run | Sweep | CkaRun | None:
        """A job's result, made where it is missing and the part was asked for."""
        known = self.commands.setdefault(part, [])
        try:
            found = self.shelf.take(job, running=part in self.parts)
            if job.command not in known:
                known.append(job.command)
        except SetupError as error:
            self.shelf.failed[repr(job)] = str(error)
            return None
        return found

    def method(self, part: str, model: str, **changes: object) -> Run | None:
        """A plain run."""
        job = replace(Job(model=model, pretrained=self.weights.of(model), limit=self.limit), **changes)  # type: ignore[arg-type]
        found = self.run(part, job)
        return found if isinstance(found, Run) else None

    def sweep(self, part: str, **settings: object) -> Sweep | None:
        """A sweep of VISOR."""
        given = {"verb": "oracle", "model": "visor", "pretrained": self.weights.visor, "limit": self.limit}
        found = self.run(part, Job(**{**given, **settings}))  # type: ignore[arg-type]
        return found if isinstance(found, Sweep) else None

    def universal(self, part: str, *, beyond: bool = False) -> Swept | None:
        """The viable configurations of the universal model; ``beyond``: and those that it did not meet in training."""
        viable = self.sweep(part)
        if viable is None:
            return None
        further = self.sweep(part, configurations=((), (1,))) if beyond else None
        return self._together(part, self.weights.visor, viable, *([] if further is None else [further]))

    def stage2(self, part: str) -> Swept | None:
        """Stage-2 weights: all layers, all but the first, none, one, two."""
        source = self.stage2_source
        if source is None:
            return None
        sweep = self.sweep(part, pretrained=self.weights.stage2, configurations=stage2_configurations(source))
        return None if sweep is None else self._together(part, self.weights.stage2, sweep)

    def _together(self, part: str, pretrained: str | None, *sweeps: Sweep) -> Swept:
        """Scores are computed once for all parts."""
        blind = self.shuffled(part, "visor", pretrained) if part in OF_CHANCE else {}
        key = (*(sweep.run.run_id for sweep in sweeps), str(bool(blind)))
        return self._swept.setdefault(key, Swept(sweeps, blind))

    def shuffled(self, part: str, model: str, pretrained: str | None) -> dict[str, float]:
        """Task -> score on shuffled images, where the checkpoint's card does not tell, so that records do not know."""
        job = Job(model=model, pretrained=pretrained, limit=self.limit, shuffled=True)
        try:
            checkpoint = job.checkpoint
        except SetupError:
            return {}
        if checkpoint.embedded and CARD_KEY in read_card(checkpoint.label.removeprefix("embedded:")):
            return {}
        found = self.run(part, job)
        if not isinstance(found, Run):
            self.blind_only.add(checkpoint.label)
            return {}
        return {task: drawn.estimate for task, drawn in scores(found.samples).tasks.items()}

    @cached_property
    def stage2_source(self) -> str | None:
        """Where the stage-2 weights lie."""
        given = self.weights.stage2
        return None if given is None else find_checkpoint(given, default=given).source

    @property
    def stage2_largest(self) -> tuple[int, ...] | None:
        """The layers that the stage-2 model was trained with."""
        return None if self.stage2_source is None else max(viable_of(self.stage2_source), key=len)

    def contender(
        self, part: str, model: str, *, setting: str | None = None, absent: dict[str, str], **changes: object
    ) -> Contender | None:
        """A plain run as a row; where there is none, ``absent`` says why."""
        pretrained = changes.get("pretrained", self.weights.of(model))
        try:
            job = replace(Job(model=model, pretrained=pretrained, limit=self.limit), **changes)  # type: ignore[arg-type]
            label = job.checkpoint.label
        except SetupError as error:
            absent[model] = _short(error)
            return None
        found = self.method(part, model, **changes)
        if found is None:
            absent[model] = self.shelf.why(job)
            return None
        setting = label if setting is None else setting
        return self._rows.setdefault((found.run.run_id, setting), Contender(model, setting, found.samples))


def _short(error: Exception) -> str:
    """Without the remedy."""
    return str(error).split(":")[0].split(" (there are")[0]


def family_seed(member: str) -> int:
    """What was added to the recipes' seeds for an embedded member; 0 for the family itself."""
    return read_card(member).get("seeds", {}).get("family", 0)  # type: ignore[attr-defined]


def second_seeds() -> dict[str, str]:
    """Embedded member -> the same member of another seed."""
    seeds = {name: family_seed(name) for name in embedded_names()}
    return {name.removesuffix(f"-seed{seed}"): name for name, seed in seeds.items() if seed}


def stage2_configurations(source: str) -> tuple[tuple[int, ...], ...]:
    """None, one layer, two layers with the first, the largest, and the largest without the first."""
    largest = max(viable_of(source), key=len)
    first, rest = largest[0], largest[1:]
    return ((), (first,), *((first, layer) for layer in rest), largest, rest)


def sections(bench: Bench) -> list[Section]:
    """Every claim, computed from what is there and what may be run."""
    builders: dict[str, Callable[[], claims.Claim]] = {
        "quality": lambda: quality(bench),
        "c1": lambda: first_layer(bench),
        "c2": lambda: claims.few_layers(bench.stage2("c2"), bench.stage2_largest, bench.universal("c2", beyond=True)),
        "c3": lambda: claims.more_layers(bench.universal("c3", beyond=True)),
        "c4": lambda: claims.cross_attention(bench.universal("c4", beyond=True)),
        "c5": lambda: reduction(bench),
        "c6": lambda: claims.router(bench.universal("c6")),
        "c7": lambda: claims.oracle(bench.universal("c7")),
        "c8": lambda: similarity(bench),
        "composition": lambda: composition(bench),
        "headline": lambda: headline(bench),
    }
    running = [name for name in builders if name in bench.parts or (name == "c1" and "search" in bench.parts)]
    order = [*running, *(name for name in builders if name not in running)]  # what is run serves the others too
    made = {name: _attempted(name, builders[name], bench) for name in order}
    return [Section(claim=made[name], commands=tuple(bench.commands.get(name, ()))) for name in builders]


def _attempted(name: str, builder: Callable[[], claims.Claim], bench: Bench) -> claims.Claim:
    """A claim that cannot be computed is said to be so on the page, and does not take the others with it."""
    try:
        return builder()
    except (ValueError, LookupError, RuntimeError) as error:
        logger.exception("%s", name)
        bench.broken.append(name)
        what = "cannot be computed: " + " ".join(str(error).split())
        return claims.Claim(name=name.capitalize(), title=name, expected="", missing=what)


def quality(bench: Bench) -> claims.Claim:
    """The targets of the family."""
    dense = bench.method("quality", "dense")
    shuffled = bench.shuffled("quality", "dense", bench.weights.dense)
    visor = bench.universal("quality")
    return claims.quality(dense, visor, shuffled=shuffled, blind_only=sorted(bench.blind_only))


def first_layer(bench: Bench) -> claims.Claim:
    """C1, with the search where it was run."""
    swept, searched = bench.stage2("c1"), None
    if swept is not None:
        found = bench.sweep("search", pretrained=bench.weights.stage2, search=True, limit=None)
        searched = None if found is None else search(found.samples)
        bench.commands["c1"] += bench.commands.get("search", [])
    return claims.first_layer(swept, bench.stage2_largest, searched)


def reduction(bench: Bench) -> claims.Claim:
    """C5: budgets first, then the runs."""
    absent: dict[str, str] = {}
    visor = bench.contender("c5", "visor", absent=absent)
    dense = bench.contender("c5", "dense", absent=absent)
    matched: list[Contender] = []
    if visor is not None and dense is not None:
        backbone = embedded_backbone(bench.weights.dense)
        questions = asked(backbone, dense.samples)
        for name in MATCHED:
            found = at_cost_of(bench, name, visor, backbone, questions, absent)
            matched += [] if found is None else [found]
    published = [bench.contender("c5", name, absent={}, setting=None) for name in PUBLISHED]
    return claims.reducers(
        visor,
        matched,
        [one for one in published if one is not None],
        swept=bench.universal("c5"),
        dense=dense,
        absent=absent,
    )


def at_cost_of(
    bench: Bench,
    name: str,
    visor: Contender,
    backbone: BackboneShape,
    questions: Mapping[str, Mapping[str, Sequence[Asked]]],
    absent: dict[str, str],
) -> Contender | None:
    """A reducer at its published budget or the next that costs no less than VISOR, on each group by itself."""
    samples: list[SampleRecord] = []
    budgets: list[str] = []
    for group in GROUPS:
        target = visor.flops.of(group).estimate
        try:
            steps, place = ladder(name, backbone), first_reaching(backbone, name, questions[group], target)
        except (SetupError, ValueError) as error:
            absent[name] = _short(error)
            return None
        found = None
        for options in steps[place : place + NEXT_BUDGETS]:
            tasks = (group,) if options else GROUPS  # the published budget is run on everything, once
            found = bench.contender("c5", name, absent=absent, tasks=tasks, model_args=options)
            if found is None:
                return None
            if exact_flops(of_group(found.samples, group)).of(group).estimate >= target:
                budgets.append(f"{group}: {_written(options)}")
                break
        assert found is not None
        samples += of_group(found.samples, group)
    return Contender(name, "; ".join(budgets), tuple(samples))


def _written(options: Options) -> str:
    return ", ".join(f"{key} {value}" for key, value in options.items()) or "published"


def of_group(samples: Sequence[SampleRecord], group: str) -> list[SampleRecord]:
    """A group's samples."""
    return [sample for sample in samples if sample.group == group]


def embedded_backbone(pretrained: str | None) -> BackboneShape:
    """Shapes of a checkpoint of the family, with its rule for images."""
    config = LlavaOnevisionConfig.from_pretrained(
        checkpoint_folder(find_checkpoint(pretrained, default="dense-tiny").source)
    )
    shape = backbone_shape(config, "dense")
    assert shape.tower is not None
    canvases = tuple((height, width) for height, width in config.image_grid_pinpoints or ())
    most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
    return replace(shape, images=AnyRes(shape.tower.tile_px, shape.tower.side, canvases, most))


def asked(backbone: BackboneShape, samples: Sequence[SampleRecord]) -> dict[str, dict[str, list[Asked]]]:
    """Group -> task -> what each question's cost depends on.

    Raises:
        ValueError: the suite's images do not become the vision tokens that were recorded.
    """
    images = {one.name: one.samples for one in read_image_sets([MINI_DATA])}
    found: dict[str, dict[str, list[Asked]]] = {}
    for sample in samples:
        task = sample.task.removesuffix("_mini")
        sizes = images[task][int(sample.doc_id)]
        assert sample.cost is not None
        if vision_counts(backbone, (), sizes).tokens != sample.cost.dense_vision_tokens:
            raise ValueError(f"{sample.task} {sample.doc_id}: its image has not the recorded number of vision tokens")
        group = group_of(task) or sample.group
        found.setdefault(group, {}).setdefault(task, []).append(Asked(sizes, sample.cost.text_tokens))
    return found


def similarity(bench: Bench) -> claims.Claim:
    """C8."""
    found = []
    for model in ("dense", "visor"):
        limit = bench.cka_limit if bench.limit is None else bench.limit
        job = Job(verb="cka", model=model, pretrained=bench.weights.of(model), limit=limit)
        measured = bench.run("c8", job)
        found += [measured] if isinstance(measured, CkaRun) else []
    return claims.similarity(found)


def composition(bench: Bench) -> claims.Claim:
    """The paper's composition rows."""
    absent: dict[str, str] = {}
    names = ("dense", "visor", *(name.split("+")[1] for name in COMPOSED))
    parts = [bench.contender("composition", name, absent={}) for name in names]
    composed = [bench.contender("composition", name, absent=absent) for name in COMPOSED]
    return claims.composition([one for one in parts if one], [one for one in composed if one], absent)


def _given(model: str, member: str) -> dict[str, str]:
    """What must be said for a method to run on a member."""
    return {} if member in (model, default_checkpoint(model)) else {"pretrained": member}


def headline(bench: Bench) -> claims.Claim:
    """Every member, and second seeds."""
    absent: dict[str, str] = {}
    members, seconds = [], []
    for member in embedded_names():
        if member == STAGE_2 or family_seed(member):
            continue
        model = str(read_card(member)["method"])
        found = bench.contender("headline", model, absent=absent, **_given(model, member))
        members += [found] if found else []
    for first_of, source in bench.weights.second.items():
        model = str(read_card(first_of).get("method", first_of))
        found = bench.contender("headline", model, absent=absent, pretrained=source, setting=f"second seed, {source}")
        first = bench.contender("headline", model, absent=absent, **_given(model, first_of))
        seconds += [(found, first)] if found and first else []
    return claims.headline(members, seconds, absent)
