import pytest
import torch

from tests.baselines.vectors import golden_cases
from visor_eval.core.similarity import cosine_similarity, received_attention


def projected(golden, name):
    out = golden["layer_input"] @ golden[f"{name}_weight"].T + golden[f"{name}_bias"]
    return out.unflatten(-1, (golden.params["num_heads"], -1)).transpose(1, 2)  # [B, H, N, dim]


@golden_cases("visionzip_siglip_port")
def test_received_attention_and_keys_equal_the_port(golden):
    queries, keys = projected(golden, "q"), projected(golden, "k")
    scores = received_attention(queries, keys, queries.shape[-1] ** -0.5)
    torch.testing.assert_close(scores, golden["scores"], atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(keys.float().mean(dim=1), golden["keys"], atol=1e-5, rtol=0)
    if "attention" in golden.tensors:
        torch.testing.assert_close(golden["attention"].mean(dim=(1, 2)), scores, atol=1e-7, rtol=1e-5)


def test_received_attention_sums_to_one_is_not_flat_and_ignores_other_tiles():
    queries, keys = torch.randn(2, 3, 4, 49, 8, generator=torch.Generator().manual_seed(0))
    scores = received_attention(queries, keys, 8**-0.5)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(3))
    assert scores.std() > 1e-3  # a mean over keys would be 1/49 everywhere
    assert torch.equal(received_attention(queries[[2, 0]], keys[[2, 0]], 8**-0.5), scores[[2, 0]])


def test_received_attention_without_the_attention_that_a_token_pays_itself():
    queries, keys = torch.randn(2, 1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.softmax(queries @ keys.mT * 0.5, dim=-1)
    expected = (weights * (1 - torch.eye(5))).mean(dim=(1, 2))
    torch.testing.assert_close(received_attention(queries, keys, 0.5, include_self=False), expected)


def test_bfloat16_queries_give_distinct_scores():
    queries, keys = torch.randn(2, 1, 4, 729, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert received_attention(queries, keys, 8**-0.5).unique().numel() > 700


def test_one_tile_of_attention_at_a_time():
    """37 tiles of 729 tokens at 16 heads would be 1.26 GB of attention; meta tensors show the largest that is made."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            largest = max(largest, out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    queries = torch.empty(37, 16, 729, 72, device="meta")
    with Watch():
        received_attention(queries, queries, 72**-0.5)
    assert largest <= 37 * 16 * 729 * 72  # of the queries themselves; all attention: 37 * 16 * 729 * 729


def test_cosine_similarity():
    left, right = torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cosine_similarity(left[:, :, None], right[:, None], dim=-1)
    torch.testing.assert_close(cosine_similarity(left, right), expected)
    assert cosine_similarity(torch.zeros(1, 2, 3), torch.ones(1, 2, 3)).eq(0).all()
    assert cosine_similarity(left.bfloat16(), right.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("tiles", [[1], [2, 0]])
def test_cosine_similarity_of_a_tile_is_the_same_in_any_batch(tiles):
    features = torch.randn(3, 49, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        cosine_similarity(features[tiles], features[tiles]), cosine_similarity(features, features)[tiles]
    )
