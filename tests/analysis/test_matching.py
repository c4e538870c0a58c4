"""Budgets raised until they cost enough: the ladder and its first sufficient step."""

from dataclasses import replace

import pytest

from visor_eval.analysis.matching import Asked, first_reaching, group_flops, ladder, variant_of, with_options
from visor_eval.cost import backbone
from visor_eval.cost.anyres import AnyRes
from visor_eval.cost.shapes import SIGLIP_SO400M_384
from visor_eval.errors import SetupError

SHAPE = replace(  # tiles of 9 x 9 tokens
    backbone("llava-ov-0.5b"),
    tower=replace(SIGLIP_SO400M_384, patch_px=40, tile_px=384),
    images=AnyRes.square_grid(384, 9),
)
QUESTIONS = {
    "a": [Asked(((768, 768),), 30), Asked(((384, 1152),), 45)],
    "b": [Asked(((500, 300),), 20), Asked(((500, 300),), 20), Asked(((1600, 1200),), 33)],
}


def flops(method: str, options, questions=QUESTIONS) -> float:
    return group_flops(SHAPE, with_options(variant_of(method, SHAPE), options), questions)


METHODS = ("visionzip", "visionzip-dagger", "vispruner", "vispruner-trained", "random", "hired", "m3")


@pytest.mark.parametrize("method", METHODS)
def test_a_ladder_starts_at_the_published_budget_and_rises_to_all_tokens(method):
    steps = ladder(method, SHAPE)
    assert steps[0] == {}
    costs = [flops(method, options) for options in steps]
    assert costs == sorted(costs)
    small = {"a": [Asked(((384, 384),), 30)]}  # below the size at which dense canvases are shrunk
    assert flops(method, steps[-1], small) == group_flops(SHAPE, variant_of("dense", SHAPE), small)
    assert costs[0] < costs[-1]


def test_parts_keep_their_ratio():
    (step,) = [one for one in ladder("visionzip", SHAPE) if sum(one.values()) == 32]
    assert step == {"dominant": 26, "contextual": 6}
    (step,) = [one for one in ladder("vispruner", SHAPE) if sum(one.values()) == 32]
    assert step == {"important": 24, "diverse": 8}


@pytest.mark.parametrize("method", METHODS)
def test_the_first_budget_that_reaches(method):
    steps = ladder(method, SHAPE)
    half = (flops(method, {}) + flops(method, steps[-1])) / 2
    place = first_reaching(SHAPE, method, QUESTIONS, half)
    assert flops(method, steps[place - 1]) < half <= flops(method, steps[place])
    assert first_reaching(SHAPE, method, QUESTIONS, 1.0) == 0  # never below the published one
    with pytest.raises(ValueError, match="no budget costs as much"):
        first_reaching(SHAPE, method, QUESTIONS, 1e18)


def test_tasks_count_alike():
    alone = [flops("m3", {}, {task: asked}) for task, asked in QUESTIONS.items()]
    assert flops("m3", {}) == pytest.approx(sum(alone) / 2)


def test_what_has_no_ladder():
    with pytest.raises(LookupError, match="no ladder"):
        ladder("downsample", SHAPE)
    with pytest.raises(SetupError, match="unknown method"):
        ladder("visonzip", SHAPE)
