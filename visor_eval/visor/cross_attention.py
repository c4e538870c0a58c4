"""The added cross-attention block: text tokens look at vision tokens, vision tokens stay as they are.

Paper: VISOR (CVPR 2026), main text section 3. Choices of ours where it is silent: no rotary embedding, grouped heads as
in the layer that precedes the block, one scalar gate initialised to zero, so that an untrained conversion equals the
text-only path exactly.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm


class VisionKeysValues(NamedTuple):
    """What a block keeps of the vision tokens: computed once at prefill and cached for decode."""

    keys: Tensor  # [batch, kv_heads, vision, head_dim]
    values: Tensor  # [batch, kv_heads, vision, head_dim]


@dataclass(frozen=True, kw_only=True)
class AttentionShape:
    """Widths of one attention block."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float = 1e-6


class CrossAttentionBlock(nn.Module):
    """``text += gate * attention(queries=norm(text), keys_and_values=positioned(norm(vision)))``."""

    def __init__(self, shape: AttentionShape, conv_kernel: int = 7) -> None:
        """Build an untrained block (gate 0)."""
        super().__init__()
        self.shape = shape
        self.norm_text = Qwen2RMSNorm(shape.hidden, eps=shape.norm_eps)
        self.norm_vision = Qwen2RMSNorm(shape.hidden, eps=shape.norm_eps)
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head_dim, bias=True)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=True)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=True)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.hidden, bias=False)
        self.conv = nn.Conv1d(shape.hidden, shape.hidden, conv_kernel, padding=conv_kernel // 2, groups=shape.hidden)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.gate = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def initialise_from(self, layer: Qwen2DecoderLayer) -> None:
        """Copy the projections and the input norm of the decoder layer that precedes the block."""
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            getattr(self, name).load_state_dict(getattr(layer.self_attn, name).state_dict())
        self.norm_text.load_state_dict(layer.input_layernorm.state_dict())
        self.norm_vision.load_state_dict(layer.input_layernorm.state_dict())

    def positioned(self, vision: Tensor) -> Tensor:
        """Normed vision tokens plus their conditional positional encoding: ``n + conv(n)``, n = weights * vision.

        Weights, sum and convolution act on each channel alone, so that all three are one depthwise convolution.

        Args:
            vision: tokens over their root mean square, of one image per row, in sequence order, newlines included
                [images, vision, hidden]; 0 where padded, as the convolution sees it beyond an image's end.
        """
        kernel = self.conv.weight.clone()  # [hidden, 1, width]
        middle = kernel.shape[-1] // 2
        kernel[:, :, middle] += 1
        kernel *= self.norm_vision.weight[:, None, None]
        kernel = kernel[:, :, None].contiguous(memory_format=torch.channels_last)
        pixels = vision.transpose(1, 2)[:, :, None]  # an image one pixel high: needs no transposed copy
        positioned = F.conv2d(pixels, kernel, self.conv.bias, padding=(0, middle), groups=self.conv.groups)  # type: ignore[arg-type]
        return positioned[:, :, 0].transpose(1, 2)

    def keys_values(self, positioned: Tensor) -> VisionKeysValues:
        """[batch, vision, hidden] -> keys and values [batch, kv_heads, vision, head_dim]."""
        split = (*positioned.shape[:2], self.shape.kv_heads, self.shape.head_dim)
        keys = self.k_proj(positioned).view(split).transpose(1, 2)
        values = self.v_proj(positioned).view(split).transpose(1, 2)
        return VisionKeysValues(keys, values)

    def forward(self, text: Tensor, vision: VisionKeysValues, mask: Tensor | None = None) -> Tensor:
        """The gated update of ``text`` (to be added to it).

        Args:
            text: hidden states after the preceding layer [batch, text, hidden].
            vision: from ``keys_values``.
            mask: True where a text token may look [batch, 1, text or 1 for all alike, vision]; where it may look at
                nothing, it gets zeros.
        """
        batch, length, _ = text.shape
        heads, kv_heads = self.shape.heads, self.shape.kv_heads
        queries = self.q_proj(self.norm_text(text)).view(batch, length, kv_heads, heads // kv_heads, -1)
        queries = queries.permute(0, 2, 3, 1, 4).flatten(2, 3)  # of all heads that share keys; these are never repeated
        if mask is not None:
            mask = mask.expand(-1, -1, length, -1).repeat(1, 1, heads // kv_heads, 1)
        attended = F.scaled_dot_product_attention(queries, vision.keys, vision.values, attn_mask=mask)
        if mask is not None:
            attended = attended.masked_fill(~mask.any(-1, keepdim=True), 0.0)
        attended = attended.unflatten(2, (-1, length)).permute(0, 3, 1, 2, 4)
        return self.gate * self.o_proj(attended.reshape(batch, length, -1))
