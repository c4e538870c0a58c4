import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visor_eval.core.token_ops import by_score, captured, complement, mask_of, take, top_counts, top_k_sorted
from visor_eval.core.tokens import VisionTokens

few_values = st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4)  # many ties


@given(few_values, st.integers(0, 6))
def test_top_k_prefers_the_larger_score_then_the_lower_index(rows, count):
    scores = torch.tensor(rows, dtype=torch.float32)
    expected = [sorted(sorted(range(6), key=lambda i, row=row: (-row[i], i))[:count]) for row in rows]
    assert top_k_sorted(scores, count).tolist() == expected


@given(few_values, st.data())
def test_top_counts_is_top_k_of_each_tile(rows, data):
    scores = torch.tensor(rows, dtype=torch.float32)
    counts = torch.tensor(data.draw(st.lists(st.integers(0, 6), min_size=len(rows), max_size=len(rows))))
    mask = top_counts(scores, counts)
    for tile, count in enumerate(counts.tolist()):
        assert mask[tile].nonzero().flatten().tolist() == top_k_sorted(scores[tile : tile + 1], count)[0].tolist()


@given(few_values, st.integers(0, 6))
def test_complement_is_what_is_left_in_order(rows, count):
    index = by_score(torch.tensor(rows, dtype=torch.float32))[:, :count]
    expected = [sorted(set(range(6)) - set(row)) for row in index.tolist()]
    assert complement(index, 6).tolist() == expected
    assert (~mask_of(index, 6)).sum().item() == len(rows) * (6 - count)


def test_take_gathers_rows():
    features = torch.arange(24.0).view(2, 4, 3)
    assert torch.equal(
        take(features, torch.tensor([[3, 0], [1, 1]])), torch.stack([features[0, [3, 0]], features[1, [1, 1]]])
    )


def test_captured_names_what_is_missing():
    tokens = VisionTokens(features=torch.zeros(1, 4, 2), tile_shape=(2, 2), grid=None, image_size=(8, 8))
    with pytest.raises(ValueError, match="scores"):
        captured(tokens, "scores")
