"""Methods as far as cost goes: which layers see vision, how it is read, what is dropped before and between layers.

A name of the entry-point group ``visor_eval.budgets`` leads to a reducer's budget, a pruner's budget, or a function
``(BackboneShape) -> Sequence[Variant]`` for a method with layer plans of its own. Names compose with ``+`` as in
``--model``. Nothing here loads a model.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import product
from typing import cast

from visor_eval.cost.budgets import PrunerBudget, ReducerBudget
from visor_eval.cost.plan import LayerPlan, LayerStep, Reader, VisionMode
from visor_eval.cost.shapes import BackboneShape, VisorShape
from visor_eval.errors import SetupError

ENTRY_POINTS = "visor_eval.budgets"
DENSE = "dense"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One method in one setting.

    Attributes:
        method: its name.
        setting: which of its settings, for methods with several: a configuration, a schedule, a factor.
        full: layers, from 1, that process vision tokens; None: all of them.
        read: layers, from 1, in which text reads vision.
        reader: how it reads there.
        visor: shapes of what was added to the backbone; a router in it runs for every sample.
        reducers: fewer vision tokens before the decoder, left to right.
        pruner: fewer vision tokens between its layers; not with ``full``.
        group: the task's group, for pruners whose schedule depends on it.
    """

    method: str
    setting: str = ""
    full: tuple[int, ...] | None = None
    read: tuple[int, ...] = ()
    reader: Reader = Reader.ADDED
    visor: VisorShape | None = None
    reducers: tuple[ReducerBudget, ...] = ()
    pruner: PrunerBudget | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        """Reject pruners where layers run without vision."""
        if self.pruner is not None and self.full is not None:
            raise ValueError(
                f"{self.label}: a pruner scores vision tokens in layers that this method runs without them"
            )

    @property
    def label(self) -> str:
        """Method and setting."""
        return f"{self.method} {self.setting}".rstrip()

    @property
    def router(self) -> bool:
        """Whether a router chooses the layers."""
        return self.visor is not None and self.visor.router_hidden > 0

    def plan(self, layers: int, entering: Sequence[int]) -> LayerPlan:
        """What every layer does.

        Args:
            layers: of the decoder.
            entering: vision tokens that reach each layer.
        """
        if self.full is not None:
            return LayerPlan.sparse(layers, entering[0], full=self.full, read=self.read, reader=self.reader)
        return LayerPlan(tuple(LayerStep(VisionMode.FULL, tokens) for tokens in entering))


Describe = Callable[[BackboneShape], Sequence[Variant]]


def known_methods() -> dict[str, EntryPoint]:
    """Entry points of all methods that describe their cost, by name; dense first, then by name. Imports none."""
    points = {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)}
    return {name: points[name] for name in sorted(points, key=lambda name: (name != DENSE, name))}


def variants(
    names: Sequence[str], backbone: BackboneShape, options: Mapping[str, object] | None = None
) -> list[Variant]:
    """Every setting of the named methods and compositions on one backbone, in the given order.

    Args:
        names: such as ``visionzip`` or ``visor+visionzip``.
        backbone: settings depend on its number of layers.
        options: fields of the budgets, for each name that has them; a method takes one setting then.

    Raises:
        SetupError: unknown names or options, values that a method refuses, parts that do not compose.
    """
    points, given = known_methods(), dict(options or {})
    parts = [[_target(part.strip(), points) for part in name.split("+")] for name in names]
    taken = {field.name for targets in parts for target in targets if is_dataclass(target) for field in fields(target)}
    if unknown := sorted(set(given) - taken):
        close = difflib.get_close_matches(unknown[0], taken, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"these methods take: {', '.join(sorted(taken)) or 'none'}"
        raise SetupError(f"--model_args: unknown option {unknown[0]!r}; {hint}")
    found = []
    for name, targets in zip(names, parts, strict=True):
        settings = [
            _settings(part.strip(), target, backbone, given)
            for part, target in zip(name.split("+"), targets, strict=True)
        ]
        found += [_composed(choice) for choice in product(*settings)]
    return found


def distinct_methods() -> tuple[tuple[str, ...], dict[str, str]]:
    """(methods of different cost, further names -> the method with the same cost)."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for name, point in known_methods().items():
        if point.value in first:
            same[name] = first[point.value]
        else:
            first[point.value] = name
    return tuple(first.values()), same


def _target(name: str, points: Mapping[str, EntryPoint]) -> object:
    if name not in points:
        close = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"methods with a known cost: {', '.join(points)}"
        raise SetupError(f"unknown method {name!r}: {hint}")
    module, _, attribute = points[name].value.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SetupError(f"the cost of {name!r} cannot be loaded from {points[name].value}: {error}") from error


def _settings(name: str, target: object, backbone: BackboneShape, options: Mapping[str, object]) -> list[Variant]:
    """One part of a composition, in each of its settings."""
    if not is_dataclass(target):
        return [replace(variant, method=name) for variant in cast("Describe", target)(backbone)]
    mine = {field.name: options[field.name] for field in fields(target) if field.name in options}
    several = cast("Mapping[str, Mapping[str, object]]", {} if mine else getattr(target, "settings", {}))
    written = " ".join(f"{key}={value}" for key, value in mine.items())
    try:
        return [
            _part(name, setting, target(**values))  # type: ignore[operator]
            for setting, values in (several or {written: mine}).items()
        ]
    except (TypeError, ValueError) as error:
        raise SetupError(f"{name}: {error}") from error


def _part(name: str, setting: str, budget: object) -> Variant:
    if hasattr(budget, "left"):
        return Variant(method=name, setting=setting, reducers=(cast("ReducerBudget", budget),))
    return Variant(method=name, setting=setting, pruner=cast("PrunerBudget", budget))


def _composed(parts: Sequence[Variant]) -> Variant:
    """Several parts as one variant: one may have a layer plan, one may prune, reducers follow each other."""
    if len(parts) == 1:
        return parts[0]
    name = "+".join(part.method for part in parts)
    planned = [part for part in parts if part.full is not None or part.visor is not None]
    pruners = [part.pruner for part in parts if part.pruner is not None]
    if len(planned) > 1 or len(pruners) > 1:
        raise SetupError(f"{name}: only one method may plan the layers, and only one may prune between them")
    base = planned[0] if planned else parts[0]
    packing = planned[0].reducers if planned else ()  # VISOR-TR packs what the others leave
    before = tuple(reducer for part in parts if part not in planned for reducer in part.reducers)
    try:
        return replace(
            base,
            method=name,
            setting=" ".join(part.setting for part in parts if part.setting),
            reducers=(*before, *packing),
            pruner=pruners[0] if pruners else None,
        )
    except ValueError as error:
        raise SetupError(str(error)) from error
