from dataclasses import replace

import pytest
import torch

from tests.baselines.vectors import golden_cases, random_tokens, tokens_of
from visor_baselines.hired import HiRED
from visor_eval.core.tokens import VisionTokens


def image_of(golden, number) -> tuple[VisionTokens, dict]:
    facts, side = golden.meta["images"][number], golden.params["grid_side"]
    scores = golden[f"image{number}_scores_selection"]
    tokens = tokens_of(
        torch.arange(scores.numel(), dtype=torch.float32).view(*scores.shape, 1),
        tile_shape=(side, side),
        grid=(facts["grid_rows"], facts["grid_cols"]),
        scores=scores,
        first_scores=golden[f"image{number}_scores_allocation"],
    )
    return tokens, facts


@golden_cases("hired")
def test_equals_the_authors_code(golden):
    mapping = {"official_flat_strips": "strips", "spatial": "spatial"}[golden.params["allocation_layout"]]
    method = HiRED(rate=golden.params["token_budget_rate"], alpha=golden.params["alpha"], mapping=mapping)
    assert golden.params["num_images"] == len(golden.meta["images"])
    for number in range(golden.params["num_images"]):
        tokens, facts = image_of(golden, number)
        budgets = method.budgets(tokens)
        assert torch.equal(budgets, golden[f"image{number}_tile_budgets"].long())
        if f"image{number}_tile_top_counts" in golden.tensors:
            counts = method.weights(tokens.first_scores, tokens.tile_shape, tokens.grid)
            assert counts.tolist() == golden[f"image{number}_tile_top_counts"].tolist()
        out = method.reduce(tokens)
        mask = torch.zeros(tokens.num_tiles, tokens.num_patches, dtype=torch.bool)
        mask[out.tile, out.position] = True
        assert torch.equal(mask, golden[f"image{number}_kept_mask"].bool())
        assert torch.equal(out.features, tokens.features[mask])
        assert out.num_tokens == facts["kept"] == facts["total_budget"] - facts["unused"]


@pytest.mark.parametrize(
    ("grid", "thumbnail", "others"),
    [
        ((1, 1), 145, 146),
        ((1, 2), 218, 219),
        ((2, 1), 218, 219),
        ((2, 2), 364, 365),
        ((2, 3), 510, 510),
        ((6, 6), 729, 4665),
    ],
)
@pytest.mark.parametrize("allocation", ["count", "sum"])
def test_budgets_on_27x27(grid, thumbnail, others, allocation):
    tokens = random_tokens(grid, dim=1)
    budgets = HiRED(allocation=allocation).budgets(tokens).tolist()
    tiles = grid[0] * grid[1]
    assert budgets[0] == thumbnail
    assert max(0, others - tiles) < sum(budgets[1:]) <= others
    assert HiRED(allocation=allocation).reduce(tokens).num_tokens == sum(budgets)


def test_the_spatial_map_follows_the_regions():
    """Attention in the lower right corner of the thumbnail; 27 rows over 2 tiles are 14 + 13."""
    tokens = random_tokens((2, 3), dim=1)
    corner = torch.full((27, 27), 1e-6)
    corner[14:, 18:] = 1.0
    for allocation in ("count", "sum"):
        tokens = replace(tokens, first_scores=corner.flatten())
        budgets = HiRED(alpha=0.9, allocation=allocation).budgets(tokens).tolist()
        assert budgets[6] == max(budgets[1:])
        assert sum(budgets[1:6]) <= 5
    ones = replace(tokens, first_scores=torch.ones(729))
    method = HiRED(alpha=0.0)
    assert method.weights(ones.first_scores, (27, 27), (2, 3)).tolist() == [126] * 3 + [117] * 3


def test_sum_weighs_by_attention():
    tokens = random_tokens((1, 2), (2, 2), dim=1)
    tokens = replace(tokens, first_scores=torch.tensor([0.1, 0.2, 0.3, 0.4]))
    weights = HiRED(allocation="sum").weights(tokens.first_scores, tokens.tile_shape, tokens.grid)
    torch.testing.assert_close(weights, torch.tensor([0.4, 0.6]))
    strips = HiRED(allocation="sum", mapping="strips").weights(tokens.first_scores, tokens.tile_shape, tokens.grid)
    torch.testing.assert_close(strips, torch.tensor([0.3, 0.7]))


def test_strips_are_refused_where_they_do_not_divide():
    with pytest.raises(ValueError, match=r"divides the 729.*1 x 2.*spatial"):
        HiRED(mapping="strips").reduce(random_tokens((1, 2)))
    HiRED(mapping="strips").reduce(random_tokens((1, 3)))


def test_rate_one_keeps_all_and_a_single_tile_keeps_its_share():
    tokens = random_tokens((2, 2), (7, 7))
    assert torch.equal(HiRED(rate=1).reduce(tokens).features, tokens.features.flatten(0, 1))
    single = random_tokens(None, (7, 7))
    out = HiRED().reduce(single)
    assert out.num_tokens == 9
    assert set(out.position.tolist()) == set(single.scores[0].topk(9).indices.tolist())


def test_extremes():
    tokens = random_tokens((2, 2), (7, 7))
    assert HiRED(alpha=1).budgets(tokens).tolist() == [49, 0, 0, 0, 0]
    assert HiRED(alpha=0).budgets(tokens)[0] == 0
    nobody = HiRED(alpha=0.99).budgets(tokens)  # no token is marked: 0/0 in the authors' code
    assert nobody.tolist() == [48, 0, 0, 0, 0]
    constant = HiRED().reduce(random_tokens((2, 2), constant=True))
    assert constant.features.isfinite().all()
    for wrong in ({"rate": 0}, {"rate": 1.5}, {"alpha": -0.1}, {"allocation": "max"}, {"mapping": "rows"}):
        with pytest.raises(ValueError, match=r"allow|must be"):
            HiRED(**wrong)


def test_order_of_sub_tiles_is_followed():
    tokens = random_tokens((1, 2), (7, 7))
    swapped = replace(
        tokens,
        features=tokens.features[[0, 2, 1]],
        scores=tokens.scores[[0, 2, 1]],
        first_scores=tokens.first_scores.view(7, 7).flip(1).flatten(),
    )
    method = HiRED(allocation="sum", alpha=0.2)
    weights = method.weights(tokens.first_scores, (7, 7), (1, 2))
    assert weights.sum().item() == pytest.approx(1)
    one, two = method.reduce(tokens), method.reduce(swapped)
    assert torch.equal(one.position[one.tile == 0], two.position[two.tile == 0])
