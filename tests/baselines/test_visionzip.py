import pytest
import torch

from tests.baselines.vectors import golden_cases, kept_of, one_tile, random_tokens, tokens_of
from visor_baselines.visionzip import VisionZip, assign
from visor_eval.core.similarity import received_attention
from visor_eval.core.token_ops import complement, take


@golden_cases("visionzip")
def test_equals_the_authors_code(golden):
    dominant, contextual = golden.params["num_dominant"], golden.params["num_contextual"]
    tiles, patches = golden["scores"].shape
    tokens = tokens_of(golden["features"], scores=golden["scores"], keys=golden["keys"])
    out = VisionZip(dominant=dominant, contextual=contextual).reduce(tokens)

    position = out.position.view(tiles, dominant + contextual)
    assert torch.equal(position[:, :dominant], golden["dominant_indices"])
    assert torch.equal(position[:, dominant:], golden["contextual_target_indices"])
    assert out.merged.tolist() == ([False] * dominant + [True] * contextual) * tiles
    assert out.tile.tolist() == [tile for tile in range(tiles) for _ in range(dominant + contextual)]
    features = out.features.view(tiles, dominant + contextual, -1)
    assert torch.equal(features[:, :dominant], golden["dominant_tokens"])
    torch.testing.assert_close(features[:, dominant:], golden["contextual_tokens"], atol=1e-5, rtol=0)
    torch.testing.assert_close(features, golden["output_tokens"], atol=1e-5, rtol=0)

    rest = complement(golden["dominant_indices"], patches)
    groups = assign(take(golden["keys"], rest), contextual).argmax(dim=-1)
    assignment = torch.full((tiles, patches), -1).scatter(1, rest, groups)
    assert torch.equal(assignment, golden["contextual_assignment"])
    counts = torch.stack([(assignment == group).sum(dim=1) - 1 for group in range(contextual)], dim=1)
    assert torch.equal(counts, golden["contextual_merged_counts"])
    if "keys_per_head" in golden.tensors:
        torch.testing.assert_close(golden["keys_per_head"].mean(dim=1), golden["keys"], atol=1e-5, rtol=0)


@golden_cases("visionzip_siglip_port")
def test_equals_the_siglip_port_from_the_layer_input_on(golden):
    def heads(name):
        out = golden["layer_input"] @ golden[f"{name}_weight"].T + golden[f"{name}_bias"]
        return out.unflatten(-1, (golden.params["num_heads"], -1)).transpose(1, 2)

    queries, keys = heads("q"), heads("k")
    scores = received_attention(queries, keys, keys.shape[-1] ** -0.5)
    tokens = tokens_of(golden["features"], scores=scores, keys=keys.mean(dim=1))
    dominant, contextual = golden.params["num_dominant"], golden.params["num_contextual"]
    out = VisionZip(dominant=dominant, contextual=contextual).reduce(tokens)
    assert torch.equal(out.position[~out.merged].view(len(scores), -1), golden["dominant_indices"])
    features = out.features.view(len(scores), dominant + contextual, -1)
    torch.testing.assert_close(features, golden["output_tokens"], atol=1e-5, rtol=0)
    torch.testing.assert_close(features[:, dominant:], golden["contextual_tokens"], atol=1e-5, rtol=0)


def test_budget_scales_with_the_tile():
    assert VisionZip().budget(729) == (104, 24)
    assert VisionZip().budget(49) == (7, 2)
    assert VisionZip(contextual=0).budget(729) == (104, 0)
    assert VisionZip().budget(1) == (1, 0)


def test_keeping_all_dominant_is_identity():
    tokens = random_tokens((1, 2), (7, 7))
    out = VisionZip(dominant=49).reduce(tokens)
    assert torch.equal(out.features, tokens.features.flatten(0, 1))
    assert not out.merged.any()


@pytest.mark.parametrize(("dominant", "contextual"), [(50, None), (49, 1), (-1, 3), (0, 0), (2.5, 1)])
def test_impossible_budgets_are_refused(dominant, contextual):
    with pytest.raises(ValueError, match="49"):
        VisionZip(dominant=dominant, contextual=contextual).reduce(random_tokens((1, 1), (7, 7)))


def test_average_is_the_mean_of_the_group():
    tokens = random_tokens(None, (5, 5))
    summed, average = (
        VisionZip(dominant=3, contextual=4, merge=rule).reduce(tokens) for rule in ("add_mean", "average")
    )
    rest = complement(summed.position[None, :3], 25)[0]
    groups = assign(tokens.keys[:, rest], 4)[0].argmax(dim=-1)
    expected = torch.stack([tokens.features[0, rest[groups == group]].mean(dim=0) for group in range(4)])
    torch.testing.assert_close(average.features[3:], expected)
    assert torch.equal(summed.position, average.position)
    with pytest.raises(ValueError, match="merge"):
        VisionZip(merge="mean")


def test_ties_and_zero_keys_give_no_nan():
    tokens = random_tokens((1, 2), (9, 9), constant=True)
    out = VisionZip().reduce(tokens_of(tokens.features, scores=tokens.scores, keys=torch.zeros_like(tokens.keys)))
    assert out.features.isfinite().all()
    assert kept_of(out, 2) == list(range(12))  # equal scores: lowest indices


def test_a_tile_does_not_depend_on_the_others():
    tokens = random_tokens((2, 3), (9, 9))
    out = VisionZip().reduce(tokens)
    for tile in range(7):
        alone = VisionZip().reduce(one_tile(tokens, tile))
        assert torch.equal(alone.position, out.position[out.tile == tile])
        torch.testing.assert_close(alone.features, out.features[out.tile == tile], atol=1e-6, rtol=0)


def test_merging_keeps_the_dtype_and_works_in_float32():
    tokens = random_tokens(None, (9, 9))
    half = tokens_of(tokens.features.bfloat16(), scores=tokens.scores, keys=tokens.keys)
    exact = VisionZip().reduce(tokens_of(half.features.float(), scores=tokens.scores, keys=tokens.keys))
    out = VisionZip().reduce(half)
    assert out.features.dtype == torch.bfloat16
    assert torch.equal(out.features, exact.features.bfloat16())
