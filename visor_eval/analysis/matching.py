"""The budget at which a token reducer costs as much as something else, in closed form.

What a reducer keeps of an image follows from the image's size and its budget (`cost/estimate.py`), so that no run is
needed to find the budget. Where attention shares the tokens out among tiles (HiRED) or padding is cut, the true cost
may lie a little beside it: whoever runs the budget checks, and takes the next one where it does not reach.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from visor_eval.cost.budgets import Selection
from visor_eval.cost.estimate import Text, for_images
from visor_eval.cost.shapes import BackboneShape
from visor_eval.cost.variants import Variant, variants
from visor_eval.records import Accounting

Sizes = tuple[tuple[int, int], ...]  # (height, width) in pixels of one sample's images
Options = Mapping[str, object]  # as in --model_args
M3_SCALES = (16, 8, 4, 1)  # it is trained at these
_TILES = 10  # of an image on which budgets are put in order


@dataclass(frozen=True)
class Asked:
    """What a question's cost depends on, the method apart."""

    sizes: Sizes
    text_tokens: int


def ladder(method: str, backbone: BackboneShape) -> tuple[Options, ...]:
    """Budgets of a method: the published one (no options), then every larger one up to all of a tile's tokens.

    Parts of a budget keep their published ratio (VisionZip 104 : 24, VisPruner 96 : 32).

    Raises:
        LookupError: a method without such a ladder.
        SetupError: an unknown method.
    """
    assert backbone.tower is not None
    published = variant_of(method, backbone)
    least = _kept(published, backbone)
    steps = _budgets(method, backbone.tower.tokens)
    return ({}, *(options for options in steps if _kept(with_options(published, options), backbone) > least))


def _budgets(method: str, tile_tokens: int) -> tuple[Options, ...]:
    counts, base = range(1, tile_tokens + 1), method.removesuffix("-trained").removesuffix("-dagger")
    if base == "visionzip":
        split = [(kept, round(kept * 24 / 128)) for kept in counts]
        return tuple({"dominant": kept - merged, "contextual": merged} for kept, merged in split)
    if base == "vispruner":
        split = [(kept, round(kept * 96 / 128)) for kept in counts]
        return tuple({"important": important, "diverse": kept - important} for kept, important in split)
    if base == "random":
        return tuple({"tokens": kept} for kept in counts)
    if base == "hired":
        return tuple({"rate": percent / 100} for percent in range(1, 101))
    if base == "m3":
        return tuple({"factor": factor} for factor in M3_SCALES)
    raise LookupError(f"no ladder of budgets is known for {method}")


def group_flops(backbone: BackboneShape, variant: Variant, questions: Mapping[str, Sequence[Asked]]) -> float:
    """Exact FLOPs (decoder prefill): mean over the questions of each task, plain mean over tasks."""
    tasks = []
    for asked in questions.values():
        total = sum(
            times * for_images(backbone, variant, kind.sizes, Text(prompt=kind.text_tokens)).total(Accounting.EXACT)
            for kind, times in Counter(asked).items()
        )
        tasks.append(total / len(asked))
    return sum(tasks) / len(tasks)


def first_reaching(
    backbone: BackboneShape,
    method: str,
    questions: Mapping[str, Sequence[Asked]],
    target: float,
) -> int:
    """Place on the method's ladder of the first budget that costs at least ``target`` FLOPs.

    Args:
        backbone: with its rule for images.
        method: a reducer with a ladder.
        questions: task -> its questions.
        target: exact FLOPs of what it is compared with, as ``group_flops``.

    Raises:
        ValueError: even all tokens cost less.
        SetupError: an unknown method.
    """
    steps, published = ladder(method, backbone), variant_of(method, backbone)

    def cost(place: int) -> float:
        return group_flops(backbone, with_options(published, steps[place]), questions)

    place = bisect_left(range(len(steps)), target, key=cost)
    if place == len(steps):
        raise ValueError(f"{method}: no budget costs as much as {target:.3g} FLOPs")
    return place


def variant_of(method: str, backbone: BackboneShape) -> Variant:
    """A method at its published budget, its first setting."""
    return variants([method], backbone)[0]


def with_options(variant: Variant, options: Options) -> Variant:
    """The same reducer with another budget."""
    (reducer,) = variant.reducers
    return replace(variant, reducers=(replace(reducer, **options),))  # type: ignore[type-var]


def _kept(variant: Variant, backbone: BackboneShape) -> int:
    """Tokens that are left of an image of many tiles."""
    assert backbone.tower is not None
    shape = (backbone.tower.side, backbone.tower.side)
    left = variant.reducers[0].left(_TILES, shape)
    return left.tokens if isinstance(left, Selection) else _TILES * left[0] * left[1]
