"""How much attention a token receives, and how alike two tokens are: float32, one tile at a time.

One tile at a time keeps memory at heads x tokens x tokens of a single tile, and makes a tile's numbers independent of
how many others are computed with it. Float32 because the mean of 16 x 729 bfloat16 weights leaves 27 distinct scores
(docs/spec/encoder_methods.md section 0.3).
"""

import torch
from torch import Tensor

EPSILON = 1e-12  # a zero vector is similar to nothing, instead of NaN


def received_attention(queries: Tensor, keys: Tensor, scale: float, *, include_self: bool = True) -> Tensor:
    """Attention that each token receives, mean over heads and queries [tiles, tokens] float32.

    The stand-in for the attention of a [CLS] token in towers without one (VisionZip appendix A.2; VisPruner issue 1).
    It sums to 1 over the tokens of a tile.

    Args:
        queries: [tiles, heads, tokens, head_dim].
        keys: as queries.
        scale: factor of the products, usually head_dim ** -0.5.
        include_self: count the attention that a token pays itself, as VisionZip's formula does (its text does not).
    """
    return torch.stack([_received(q, k, scale, include_self) for q, k in zip(queries, keys, strict=True)])


def _received(queries: Tensor, keys: Tensor, scale: float, include_self: bool) -> Tensor:
    heads, tokens = queries.shape[:2]
    at_once = heads if queries.is_cuda else 1  # one head's map fits a CPU's cache (5x faster); a GPU wants few kernels
    received = queries.new_zeros(tokens, dtype=torch.float32)
    for q, k in zip((queries.float() * scale).split(at_once), keys.float().split(at_once), strict=True):
        weights = torch.softmax(q @ k.mT, dim=-1)  # [heads, queries, keys]
        if not include_self:
            weights = weights - weights.diagonal(dim1=-2, dim2=-1).diag_embed()
        received = received + weights.sum(dim=(0, 1))
    return received / (heads * tokens)


def cosine_similarity(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of every pair, [tiles, n, dim] and [tiles, m, dim] -> [tiles, n, m] float32."""
    return torch.stack([a @ b.T for a, b in zip(_unit(left), _unit(right), strict=True)])


def _unit(vectors: Tensor) -> Tensor:
    vectors = vectors.float()
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(EPSILON)
