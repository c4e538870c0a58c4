import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.baselines.vectors import golden_cases, kept_of, one_tile, random_tokens, tokens_of
from visor_baselines.vispruner import VisPruner, VisPruner16x, most_diverse
from visor_eval.core.token_ops import by_score, take


@golden_cases("vispruner")
def test_equals_the_authors_code(golden):
    scores, features = golden["scores"], golden["features"]
    total, patches = min(golden.params["num_tokens_kept"], scores.shape[1]), scores.shape[1]
    important = golden.params["num_important"]
    method = VisPruner(important=important, diverse=total - important)
    out = method.reduce(tokens_of(features, scores=scores))
    assert torch.equal(out.position.view(len(scores), total), golden["kept_indices"])
    assert torch.equal(out.features.view(len(scores), total, -1), golden["kept_tokens"])
    assert not out.merged.any()

    order = by_score(scores)
    assert torch.equal(order[:, :important], golden["important_indices_by_score"])
    residual = order[:, important:]
    left = most_diverse(take(features, residual), total - important)
    assert torch.equal(residual.gather(1, left), golden["diverse_indices_final_order"])
    if golden.params["num_tokens_kept"] > patches:  # the authors keep all; refused here
        method = VisPruner(important=important, diverse=golden.params["num_diverse"])
        with pytest.raises(ValueError, match=str(patches)):
            method.reduce(tokens_of(features, scores=scores))


def slow_rounds(features, count):
    """The same rounds with plain lists, similarities recomputed in float64 each time."""
    unit = features.double() / features.double().norm(dim=-1, keepdim=True)
    order = list(range(len(features)))
    while len(order) > count:
        candidates, references = order[0::2], order[1::2]
        closest = (unit[candidates] @ unit[references].T).amax(dim=1).tolist()
        ranked = sorted(range(len(candidates)), key=lambda i: (-closest[i], i))
        dropped = min(8, len(order) - count, len(candidates))
        order = [candidates[i] for i in ranked[dropped:]] + references
    return order


@pytest.mark.parametrize(("tokens", "count"), [(633, 32), (43, 2), (44, 1), (9, 4), (3, 1), (2, 1)])
def test_rounds_equal_a_plain_loop(tokens, count):
    features = torch.randn(3, tokens, 12, generator=torch.Generator().manual_seed(tokens))
    assert most_diverse(features, count).tolist() == [slow_rounds(tile, count) for tile in features]


@pytest.mark.parametrize("tiles", [1, 5])
def test_a_round_is_seven_operations_for_any_number_of_tiles(tiles):
    """On a GPU each is a launch (sorting: three), and rounds wait for each other."""
    counts = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            given = {a.untyped_storage()._cdata for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)}
            counts[-1] += any(made.untyped_storage()._cdata not in given for made in tree_leaves(out))  # no view
            return out

    features = torch.randn(tiles, 120, 4, generator=torch.Generator().manual_seed(0))
    for count in (40, 32):  # ten rounds, eleven rounds
        counts.append(0)
        with Count():
            most_diverse(features, count)
    assert counts[1] - counts[0] <= 7


def test_budgets():
    assert VisPruner().budget(729) == (96, 32)
    assert VisPruner().budget(49) == (6, 2)
    assert VisPruner16x().budget(729) == (34, 12)
    assert VisPruner16x().budget(49) == (2, 1)
    assert VisPruner16x(important=5).budget(49) == (5, 1)


@pytest.mark.parametrize(("important", "diverse"), [(49, None), (0, 49), (30, 19)])
def test_keeping_all_is_identity(important, diverse):
    tokens = random_tokens((1, 2), (7, 7))
    out = VisPruner(important=important, diverse=diverse).reduce(tokens)
    assert torch.equal(out.features, tokens.features.flatten(0, 1))
    assert out.position.tolist() == list(range(49)) * 3


@pytest.mark.parametrize(("important", "diverse"), [(50, None), (49, 1), (-1, 3), (0, 0), (2.0, 1)])
def test_impossible_budgets_are_refused(important, diverse):
    with pytest.raises(ValueError, match="49"):
        VisPruner(important=important, diverse=diverse).reduce(random_tokens((1, 1), (7, 7)))


def test_constant_tiles():
    tokens = random_tokens((1, 2), constant=True)
    out = VisPruner().reduce(tokens)
    assert kept_of(out, 1)[:96] == list(range(96))
    zero = VisPruner().reduce(tokens_of(torch.zeros_like(tokens.features), scores=tokens.scores))
    assert zero.num_tokens == out.num_tokens == 3 * 128
    assert out.features.isfinite().all()


def test_a_tile_does_not_depend_on_the_others():
    tokens = random_tokens((2, 3), (9, 9))
    out = VisPruner().reduce(tokens)
    for tile in range(7):
        alone = VisPruner().reduce(one_tile(tokens, tile))
        assert torch.equal(alone.position, out.position[out.tile == tile])
        assert torch.equal(alone.features, out.features[out.tile == tile])
