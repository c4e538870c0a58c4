"""Decoder layers as pure functions of (states, weights), so that one compiled graph serves all layers.

The mathematics is that of the stock Qwen2 layer and of ``CrossAttentionBlock``; only the layout differs: several
questions about one image share its vision tokens. Where several heads share keys and values, their queries stand behind
each other, so that nothing is repeated. Matrix products run in ``compute`` (bfloat16 doubles their speed on
CPUs with AVX512-BF16), residuals, norms and softmax in float32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from visor_eval.visor.cross_attention import CrossAttentionBlock


class LayerWeights(NamedTuple):
    """The tensors of one stock decoder layer."""

    norm_in: Tensor
    q: Tensor
    q_bias: Tensor | None
    k: Tensor
    k_bias: Tensor | None
    v: Tensor
    v_bias: Tensor | None
    out: Tensor
    norm_mlp: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor

    @classmethod
    def of(cls, layer: Qwen2DecoderLayer) -> "LayerWeights":
        """The live parameters of ``layer``."""
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            layer.input_layernorm.weight,
            attention.q_proj.weight, attention.q_proj.bias,
            attention.k_proj.weight, attention.k_proj.bias,
            attention.v_proj.weight, attention.v_proj.bias,
            attention.o_proj.weight,
            layer.post_attention_layernorm.weight,
            mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight,
        )  # fmt: skip


class BlockWeights(NamedTuple):
    """The tensors of one added cross-attention block."""

    norm_text: Tensor
    norm_vision: Tensor
    q: Tensor
    q_bias: Tensor
    k: Tensor
    k_bias: Tensor
    v: Tensor
    v_bias: Tensor
    out: Tensor
    conv: Tensor
    conv_bias: Tensor
    gate: Tensor

    @classmethod
    def of(cls, block: CrossAttentionBlock) -> "BlockWeights":
        """The live parameters of ``block``."""
        assert block.conv.bias is not None
        return cls(
            block.norm_text.weight, block.norm_vision.weight,
            block.q_proj.weight, block.q_proj.bias,
            block.k_proj.weight, block.k_proj.bias,
            block.v_proj.weight, block.v_proj.bias,
            block.o_proj.weight, block.conv.weight, block.conv.bias, block.gate,
        )  # fmt: skip


class Rotary(NamedTuple):
    """Cosines and sines of a run of positions [tokens, head_dim]."""

    cos: Tensor
    sin: Tensor


class Shape(NamedTuple):
    """What the functions need to know besides tensors."""

    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    compute: torch.dtype


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over the last dimension."""
    return weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, compute: torch.dtype) -> Tensor:
    return F.linear(x, weight.to(compute), None if bias is None else bias.to(compute))


def _joined(*biases: Tensor | None) -> Tensor | None:
    """All of them behind each other, or None where the layer has none."""
    present = [bias for bias in biases if bias is not None]
    return torch.cat(present) if present else None


def _heads(x: Tensor, heads: int) -> Tensor:
    """[batch, tokens, heads * head_dim] -> [batch, heads, tokens, head_dim]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _rotate(x: Tensor, rotary: Rotary) -> Tensor:
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x.float() * rotary.cos + turned.float() * rotary.sin


def _per_head(left: Tensor, right: Tensor) -> Tensor:
    """Matrix products head by head; neighbouring heads on the left share one on the right.

    Args:
        left: [batch, heads, rows, inner].
        right: [batch, heads or fewer, inner, columns].

    Returns:
        [batch, heads, rows, columns].
    """
    if left.shape[1] == right.shape[1]:
        return left @ right
    batch, heads, rows, inner = left.shape
    return (left.reshape(batch, right.shape[1], -1, inner) @ right).view(batch, heads, rows, -1)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    """Attention of [batch, heads, tokens, head_dim]; returns [batch, tokens, heads * head_dim]."""
    scores = _per_head(q, k.transpose(-1, -2)).float() * shape.head_dim**-0.5
    if bias is not None:
        scores = scores + bias
    mixed = _per_head(torch.softmax(scores, dim=-1).to(v.dtype), v)
    return mixed.transpose(1, 2).reshape(q.shape[0], q.shape[2], -1)


def _qkv(x: Tensor, w: LayerWeights, rotary: Rotary, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    normed = rms_norm(x, w.norm_in, shape.eps).to(shape.compute)
    weight = torch.cat((w.q, w.k, w.v))
    joint = _linear(normed, weight, _joined(w.q_bias, w.k_bias, w.v_bias), shape.compute)
    widths = [heads * shape.head_dim for heads in (shape.heads, shape.kv_heads, shape.kv_heads)]
    q, k, v = joint.split(widths, dim=-1)
    q, k = _rotate(_heads(q, shape.heads), rotary), _rotate(_heads(k, shape.kv_heads), rotary)
    return q.to(shape.compute), k.to(shape.compute), _heads(v, shape.kv_heads)


def _finish(x: Tensor, attended: Tensor, w: LayerWeights, shape: Shape) -> Tensor:
    """Output projection, residual and MLP."""
    x = x + _linear(attended, w.out, None, shape.compute).float()
    normed = rms_norm(x, w.norm_mlp, shape.eps).to(shape.compute)
    gate, up = _linear(normed, torch.cat((w.gate, w.up)), None, shape.compute).chunk(2, dim=-1)
    return x + _linear(F.silu(gate) * up, w.down, None, shape.compute).float()


def text_layer(text: Tensor, rotary: Rotary, causal: Tensor, w: LayerWeights, shape: Shape) -> Tensor:
    """The stock layer on text tokens alone [rows, tokens, hidden]; ``causal`` is additive [tokens, tokens]."""
    q, k, v = _qkv(text, w, rotary, shape)
    return _finish(text, _attend(q, k, v, causal, shape), w, shape)


def full_layer(
    text: Tensor,
    vision: Tensor,
    rotary_text: Rotary,
    rotary_vision: Rotary,
    causal_text: Tensor,
    causal_vision: Tensor,
    w: LayerWeights,
    shape: Shape,
) -> tuple[Tensor, Tensor]:
    """The stock layer on prefix, vision and text; the questions of one image do not see each other.

    Args:
        text: question tokens behind the image [images * questions, tokens, hidden].
        vision: prefix and vision tokens [images, seen, hidden].
        rotary_text: rotary table of the text positions.
        rotary_vision: rotary table of the prefix and vision positions.
        causal_text: additive mask [tokens, tokens].
        causal_vision: additive mask [seen, seen].
        w: the layer's tensors.
        shape: heads, widths, dtypes.

    Returns:
        The new text and vision states.
    """
    images, seen, _ = vision.shape
    rows, tokens, _ = text.shape
    per_image = rows // images
    q_v, k_v, v_v = _qkv(vision, w, rotary_vision, shape)
    new_vision = _finish(vision, _attend(q_v, k_v, v_v, causal_vision, shape), w, shape)
    q, k, v = _qkv(text, w, rotary_text, shape)
    scale = shape.head_dim**-0.5
    grouped = q.view(images, per_image, shape.heads, tokens, shape.head_dim).transpose(1, 2)
    grouped = grouped.reshape(images, shape.heads, per_image * tokens, shape.head_dim)
    to_vision = _per_head(grouped, k_v.transpose(-1, -2)).float() * scale  # [images, heads, questions * tokens, seen]
    to_text = _per_head(q, k.transpose(-1, -2)).float() * scale + causal_text  # [rows, heads, tokens, tokens]
    to_text = to_text.view(images, per_image, shape.heads, tokens, tokens).transpose(1, 2)
    to_text = to_text.reshape(images, shape.heads, per_image * tokens, tokens)
    weights = torch.softmax(torch.cat((to_vision, to_text), dim=-1), dim=-1).to(shape.compute)
    from_vision = _per_head(weights[..., :seen], v_v).view(images, shape.heads, per_image, tokens, shape.head_dim)
    own = weights[..., seen:].view(images, shape.heads, per_image, tokens, tokens).transpose(1, 2)
    from_text = _per_head(own.reshape(rows, shape.heads, tokens, tokens), v)
    attended = from_vision.transpose(1, 2).reshape(rows, shape.heads, tokens, shape.head_dim) + from_text
    attended = attended.transpose(1, 2).reshape(rows, tokens, -1)
    return _finish(text, attended, w, shape), new_vision


def read_block(text: Tensor, vision: Tensor, w: BlockWeights, shape: Shape) -> Tensor:
    """``text`` plus the gated cross-attention to its image's vision tokens.

    Args:
        text: question tokens behind the image [images * questions, tokens, hidden].
        vision: vision tokens without the prefix [images, vision, hidden].
        w: the block's tensors.
        shape: heads, widths, dtypes.
    """
    images = vision.shape[0]
    rows, tokens, width = text.shape
    normed = rms_norm(vision, w.norm_vision, shape.eps)
    positioned = (normed + _shifted_sum(normed, w.conv, w.conv_bias)).to(shape.compute)
    kv = _linear(positioned, torch.cat((w.k, w.v)), torch.cat((w.k_bias, w.v_bias)), shape.compute)
    k, v = kv.chunk(2, dim=-1)
    queries = rms_norm(text, w.norm_text, shape.eps).to(shape.compute).view(images, -1, width)
    q = _heads(_linear(queries, w.q, w.q_bias, shape.compute), shape.heads)
    attended = _attend(q, _heads(k, shape.kv_heads), _heads(v, shape.kv_heads), None, shape)
    return text + w.gate * _linear(attended, w.out, None, shape.compute).float().view(rows, tokens, width)


def _shifted_sum(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A depthwise 1-D convolution [images, tokens, width], written as shifted products: several times faster here."""
    size = kernel.shape[-1]
    padded = F.pad(x, (0, 0, size // 2, size // 2))
    total = bias + padded[:, : x.shape[1]] * kernel[:, 0, 0]
    for offset in range(1, size):
        total = total + padded[:, offset : offset + x.shape[1]] * kernel[:, 0, offset]
    return total
