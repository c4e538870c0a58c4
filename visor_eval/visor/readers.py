"""The two ways in which text reads vision tokens that a layer does not process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, apply_rotary_pos_emb

from visor_eval.models.decoder import run_step

if TYPE_CHECKING:
    from visor_eval.models.cache import KeyValues
    from visor_eval.models.sequence import Batch, Lane, Rotary
    from visor_eval.visor.cross_attention import CrossAttentionBlock, VisionKeysValues


class BlockMemory(NamedTuple):
    """What decode needs of an added block."""

    vision: VisionKeysValues
    mask: Tensor | None  # True where a vision token is real [rows, 1, 1, vision]


class AddedBlock:
    """VISOR: the stock layer on the text tokens, then an added cross-attention block."""

    def __init__(self, block: CrossAttentionBlock) -> None:
        """Wrap a trained block."""
        self.block = block

    def prefill(
        self, layer: nn.Module, text: Lane, vision: Lane, batch: Batch, past: KeyValues
    ) -> tuple[Tensor, object]:
        """Text after the first vision token reads; text before it has nothing to read."""
        states = layer(text.states, attention_mask=None, position_embeddings=text.rotary, past_key_values=past)
        past.keep(text.lengths)
        keys_values = self.block.keys_values(self._positioned(batch))
        start = min(batch.prefix_tokens)
        update = self.block(states[:, start:], keys_values, _visible(text, vision, batch, start))
        states = torch.cat([states[:, :start], states[:, start:] + update], dim=1)
        valid = vision.valid
        return states, BlockMemory(keys_values, None if valid is None else valid[:, None, None])

    def step(self, layer: nn.Module, states: Tensor, rotary: Rotary, past: KeyValues, memory: object) -> Tensor:
        """Stock layer, then the block on the cached vision keys and values."""
        vision, mask = cast("BlockMemory", memory)
        states = run_step(layer, states, rotary, past)
        return states + self.block(states, vision, mask)

    def _positioned(self, batch: Batch) -> Tensor:
        """The positional convolution runs over one image at a time."""
        vision = batch.vision_over_rms(self.block.shape.norm_eps)
        if all(len(lengths) <= 1 for lengths in batch.image_lengths):
            return self.block.positioned(vision)
        rows = [
            row.split([*lengths, len(row) - sum(lengths)])
            for row, lengths in zip(vision, batch.image_lengths, strict=True)
        ]
        return pad_sequence(
            [torch.cat([self.block.positioned(image[None])[0] for image in images if len(image)]) for images in rows],
            batch_first=True,
        )


class StaleKeys:
    """visor-zero: the layer's own attention, its keys and values extended by vision tokens that were left behind."""

    def prefill(
        self, layer: nn.Module, text: Lane, vision: Lane, batch: Batch, past: KeyValues
    ) -> tuple[Tensor, object]:
        """Vision keys and values come from the layer's own norm, projections and rotary positions."""
        past.update(*_own_keys_values(layer, vision))
        mask = torch.cat([_before(vision, text), _before(text, text, inclusive=True)], dim=-1)
        states = layer(text.states, attention_mask=mask, position_embeddings=text.rotary, past_key_values=past)
        if vision.padded or text.padded:
            past.keep_where(torch.cat([_real(vision), _real(text)], dim=1))
        return states, None

    def step(self, layer: nn.Module, states: Tensor, rotary: Rotary, past: KeyValues, memory: object) -> Tensor:
        """The cache already holds the vision keys and values."""
        return run_step(layer, states, rotary, past)


def _own_keys_values(layer: nn.Module, vision: Lane) -> tuple[Tensor, Tensor]:
    attention = cast("Qwen2Attention", layer.self_attn)
    normed = layer.input_layernorm(vision.states)  # type: ignore[operator]
    split = (*normed.shape[:2], -1, attention.head_dim)
    keys = attention.k_proj(normed).view(split).transpose(1, 2)  # type: ignore[operator, union-attr]
    values = attention.v_proj(normed).view(split).transpose(1, 2)  # type: ignore[operator, union-attr]
    _, keys = apply_rotary_pos_emb(keys, keys, *vision.rotary)
    return keys, values


def _real(lane: Lane) -> Tensor:
    valid = lane.valid
    return lane.positions.new_ones(lane.positions.shape, dtype=torch.bool) if valid is None else valid


def _before(keys: Lane, queries: Lane, *, inclusive: bool = False) -> Tensor:
    """True where a key stands before a query (or is it) [batch, 1, queries, keys]."""
    key, query = keys.positions[:, None, None, :], queries.positions[:, None, :, None]
    return key <= query if inclusive else key < query


def _visible(text: Lane, vision: Lane, batch: Batch, start: int) -> Tensor | None:
    """Which vision tokens the text tokens from ``start`` on may read; None if each may read all."""
    uniform = len(set(batch.prefix_tokens)) == 1 and all(len(lengths) == 1 for lengths in batch.image_lengths)
    if uniform and not vision.padded:
        return None
    return _before(vision, text)[:, :, start:]
