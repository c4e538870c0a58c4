"""Attention probabilities of a few query rows over all keys, so that no layer has to materialise its attention map."""

import torch
from torch import Tensor


def attention_rows(queries: Tensor, keys: Tensor, places: Tensor, scaling: float) -> Tensor:
    """Causal softmax rows in float32, never more of them than asked for.

    Args:
        queries: with rotary positions applied [heads, rows, head_dim].
        keys: of the whole sequence, with rotary positions applied [kv_heads, length, head_dim]; head h of the queries
            reads key head ``h // (heads // kv_heads)``.
        places: index of each query in the sequence [rows].
        scaling: factor on the products, usually ``head_dim ** -0.5``.

    Returns:
        Probabilities [heads, rows, length], float32; 0 where a key stands behind the query.
    """
    heads, rows, width = queries.shape
    kv_heads, length = keys.shape[:2]
    grouped = queries.float().reshape(kv_heads, heads // kv_heads * rows, width)  # the heads of one key head together
    products = (grouped @ keys.float().transpose(1, 2)).view(heads, rows, length) * scaling
    behind = torch.arange(length, device=places.device) > places[:, None]
    return products.masked_fill(behind, float("-inf")).softmax(dim=-1)
