"""Boundaries made by hand, from a given attention map."""

import torch
from torch import Tensor

from visor_eval.core.pruning import Boundary
from visor_eval.cost.shapes import DecoderShape

SHAPE = DecoderShape(layers=32, hidden=8, heads=4, kv_heads=2, head_dim=2, intermediate=8, vocab=2)


def view_of(attention: Tensor, start: int, count: int, **others) -> Boundary:
    """What a pruner sees after a layer with this attention [heads, length, length]."""
    length = attention.shape[-1]
    places = torch.arange(length)
    vision = (places >= start) & (places < start + count)
    states = torch.randn(length, SHAPE.hidden, generator=torch.Generator().manual_seed(0))
    default = {
        "stage": 0,
        "group": None,
        "decoder": SHAPE,
        "before": states,
        "after": states,
        "positions": places,
        "vision": vision,
        "vision_tokens": count,
        "initial_vision_tokens": count,
        "embeddings": states,
        "embeddings_vision": vision,
        "memory": {},
        "attention_rows": lambda queries: attention[:, queries],
        "next_attention_rows": lambda queries: attention[:, queries],
    }
    return Boundary(**{**default, **others})
