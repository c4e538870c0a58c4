"""Names, settings and compositions of methods whose cost is known; a third party's budget."""

import sys
from pathlib import Path

import pytest

from visor_eval.cost import PAPER_CONFIGURATIONS, backbone
from visor_eval.cost.estimate import Text, for_tokens
from visor_eval.cost.variants import distinct_methods, known_methods, variants
from visor_eval.errors import SetupError

SHAPE = backbone("llava-ov-0.5b")


def labels(*names: str, **options: object) -> list[str]:
    return [variant.label for variant in variants(names, SHAPE, options)]


def test_every_configuration_is_a_setting() -> None:
    assert labels("visor") == [f"visor {list(configuration)}" for configuration in PAPER_CONFIGURATIONS]
    assert len(labels("visor-tr")) == 2 * len(PAPER_CONFIGURATIONS)
    assert labels("pyramiddrop", "m3", "dense") == ["pyramiddrop easy", "pyramiddrop hard", "m3", "m3 16x", "dense"]
    assert labels("pyramiddrop", schedule="easy") == ["pyramiddrop schedule=easy"]


def test_methods_of_equal_cost_are_listed_once() -> None:
    distinct, same = distinct_methods()
    assert distinct[0] == "dense"
    assert same["visionzip-dagger"] == "visionzip"
    assert set(distinct) | set(same) == set(known_methods())


def test_compositions() -> None:
    both = variants(("visor+visionzip", "hired+fastv"), SHAPE)
    assert both[0].label == "visor+visionzip [1, 4]"
    text = Text()
    alone = {name: for_tokens(SHAPE, variants((name,), SHAPE)[0], 7290, text) for name in ("visor", "visionzip")}
    cost = for_tokens(SHAPE, both[0], 7290, text)
    assert cost.vision_tokens == alone["visionzip"].vision_tokens
    assert cost.total() < min(one.total() for one in alone.values())
    hired_fastv = for_tokens(SHAPE, both[-1], 7290, text)
    assert hired_fastv.vision_tokens == 1458
    assert hired_fastv.nominal == pytest.approx(145.8 * (2 + 22 / 2))


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("visr",), {}, "did you mean 'visor'"),
        (("xyz",), {}, "methods with a known cost: dense"),
        (("visor+fastv",), {}, "runs without them"),
        (("visor+visor-zero",), {}, "only one method may plan the layers"),
        (("fastv+sparsevlm",), {}, "only one may prune"),
        (("m3",), {"facto": 3}, "did you mean 'factor'"),
        (("visor",), {"x": 1}, "these methods take: none"),
        (("m3",), {"factor": 0.5}, "m3: a factor of 0.5 would add tokens"),
        (("fastv",), {"k": 0}, "k must be at least 1"),
    ],
    ids=str,
)
def test_what_the_user_can_fix(names: tuple[str, ...], options: dict[str, object], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        variants(names, SHAPE, options)


def test_rules_without_a_closed_form() -> None:
    (rank,) = variants(("sparsevlm",), SHAPE, {"rule": "rank"})
    with pytest.raises(ValueError, match="no closed form"):
        for_tokens(SHAPE, rank, 729, Text())
    twice = variants(("visionzip+vispruner",), SHAPE)[0]
    with pytest.raises(ValueError, match="already selected"):
        for_tokens(SHAPE, twice, 729, Text())


BUDGET = """
from dataclasses import dataclass
from typing import ClassVar
from visor_eval.cost.budgets import Selection
from visor_eval.cost.variants import Variant

@dataclass(frozen=True, kw_only=True)
class NormKeepBudget:
    share: float = 0.25
    needs: ClassVar = frozenset()
    after_projector: ClassVar = False

    def left(self, tiles, tile_shape):
        return Selection.per_tile(tiles, max(1, round(tile_shape[0] * tile_shape[1] * self.share)))

    def flops(self, *, tiles, tokens, dim, key_dim):
        return 0

def early_exit(backbone):
    return [Variant(method="early-exit", setting=str(k), full=tuple(range(1, k + 1))) for k in (4, 8)]
"""


def test_a_third_party_describes_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[visor_eval.budgets]\nnorm-keep = other_budgets:NormKeepBudget\nearly-exit = other_budgets:early_exit\n"
        "gone = other_budgets:Missing\n"
    )
    (tmp_path / "other_budgets.py").write_text(BUDGET)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        found = variants(("norm-keep", "visor+norm-keep", "early-exit"), SHAPE, {"share": 0.1})
        assert [variant.label for variant in found[:2]] == ["norm-keep share=0.1", "visor+norm-keep [1, 4] share=0.1"]
        assert for_tokens(SHAPE, found[0], 1458, Text()).vision_tokens == 146
        exits = [for_tokens(SHAPE, variant, 729, Text()) for variant in found[-2:]]
        assert [cost.nominal_dense / cost.nominal for cost in exits] == [6, 3]
        with pytest.raises(SetupError, match="'gone' cannot be loaded"):
            variants(("gone",), SHAPE)
    finally:
        sys.modules.pop("other_budgets", None)
