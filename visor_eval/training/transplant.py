"""A dense member that starts with what VISOR's added blocks know: their attention becomes that of stock layers.

The paper converts a dense model into VISOR; this is the way back. A dense member that keeps the stock weights alone
starts at chance and has to find again how to read the vision tokens (docs/log.md). Text tokens hardly need the
attention of most stock layers of a trained VISOR member, so the layer behind each added block gives up its own for the
block's.

Two things stand between a block and a stock layer. The rotary embedding turns queries and keys with their distance,
which a block does not have: of every head the components that matter most, on states that the blocks really see, go to
the slowest rotary pairs. And text is among the keys: one component tells vision tokens from text. Values and output
are the block's. What is left out: the neighbours that the block's convolution mixes into the keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model

from visor_eval.training.packed import PackedBatch, PackedModel, StepPlan
from visor_eval.visor.cross_attention import CrossAttentionBlock
from visor_eval.visor.modules import VisorModules

SLOW_PAIRS = 0.5  # share of a head's rotary pairs that carry the block's attention
VISION_MARGIN = 2.0  # added to the score of a vision token, taken from that of a text token
NOISE = 0.02  # of the faster pairs, so that they can learn
RIDGE = 1e-4
SEED = 0
GATE = 0.5  # of blocks on the way back; 1.0 answered less before training (docs/log.md)
SAMPLED = 800  # states of each kind per batch


@dataclass
class Seen:
    """States over their root mean square that one block met: rows of [hidden]."""

    text: list[Tensor] = field(default_factory=list)
    vision: list[Tensor] = field(default_factory=list)


class Roots(NamedTuple):
    """The root of the second moments of (state, 1), and its inverse [hidden + 1, hidden + 1]."""

    root: Tensor
    inverse: Tensor


def hosts(read_layers: Iterable[int], layers: int) -> dict[int, int]:
    """Added block -> the stock layer that takes over, both counted from 1: the one behind it, if there is one."""
    return {number: number + 1 for number in read_layers if number < layers}


@torch.no_grad()
def transplant(
    model: LlavaOnevisionForConditionalGeneration, visor: VisorModules, batches: Iterable[PackedBatch]
) -> None:
    """Move the attention of every added block into the stock layer behind it, in place.

    Args:
        model: the stock model of a trained VISOR member, in float32.
        visor: its blocks; they stay as they are.
        batches: what to look at; the states met there say which components of the attention matter.
    """
    seen, distance = _states(PackedModel(model, visor), visor, batches)
    decoder = model.model.language_model
    speeds = decoder.rotary_emb.inv_freq.double()
    generator = torch.Generator().manual_seed(SEED)
    for number, host in hosts(seen, len(decoder.layers)).items():
        block = visor.blocks[str(number)]
        assert isinstance(block, CrossAttentionBlock)
        text, vision = torch.cat(seen[number].text).double(), torch.cat(seen[number].vision).double()
        _host(cast("Qwen2DecoderLayer", decoder.layers[host - 1]), block, text, vision, speeds, distance, generator)


@torch.no_grad()
def give_back(visor: VisorModules, decoder: Qwen2Model) -> None:
    """Start every block, gates half open, from the stock layer that reads for it in a dense member by ``transplant``.

    Copying the layer before the block with closed gates, as the paper does, finds nothing there that reads. Queries
    stay turned as ``transplant`` left them: of the slowest pairs, which carry most, by little.
    """
    visor.initialise_from(decoder, hosts(visor.config.read_layers, len(decoder.layers)))
    for block in visor.blocks.values():
        cast("CrossAttentionBlock", block).gate.fill_(GATE)


def _states(packed: PackedModel, visor: VisorModules, batches: Iterable[PackedBatch]) -> tuple[dict[int, Seen], float]:
    """What the blocks meet under the first configuration, and the mean distance they look over, in tokens."""
    plan = StepPlan.of(visor, visor.config.configurations[0])
    generator = torch.Generator().manual_seed(SEED)
    found: dict[int, Seen] = {number: Seen() for number in plan.read}
    distances: list[float] = []

    def watch(number: int, text: Tensor, vision: Tensor) -> None:
        found[number].text.append(_sample(text, generator))
        found[number].vision.append(_sample(vision, generator))
        distances.append((text.shape[1] + vision.shape[1]) / 2)

    for batch in batches:
        packed.hidden(batch, plan, watch=watch)
    return found, sum(distances) / len(distances)


def _sample(states: Tensor, generator: torch.Generator) -> Tensor:
    rows = states.flatten(0, 1)
    rows = rows[torch.randperm(len(rows), generator=generator)[:SAMPLED]]
    return rows * torch.rsqrt(rows.square().mean(-1, keepdim=True) + 1e-6)


def _host(
    layer: Qwen2DecoderLayer,
    block: CrossAttentionBlock,
    text: Tensor,
    vision: Tensor,
    speeds: Tensor,
    distance: float,
    generator: torch.Generator,
) -> None:
    """Give ``layer`` the attention of ``block``.

    Args:
        layer: its attention and input norm are replaced.
        block: stays as it is.
        text: states that ask, over their root mean square [rows, hidden].
        vision: states that are looked at [rows, hidden].
        speeds: of the rotary pairs, fastest first [head_dim / 2].
        distance: typical, between a text and a vision token.
        generator: of the noise.
    """
    attention, shape = layer.self_attn, block.shape
    middle = block.conv.kernel_size[0] // 2
    own = 1 + block.conv.weight[:, 0, middle].double()  # what a vision token keeps of itself
    scale, shift = block.norm_vision.weight.double() * own, _double(block.conv.bias)
    queries = _affine(block.q_proj, block.norm_text.weight.double()).unflatten(0, (shape.heads, -1))
    keys = _affine(block.k_proj, scale, shift).unflatten(0, (shape.kv_heads, -1))
    values = _affine(block.v_proj, scale, shift)
    half, shared = len(speeds), shape.heads // shape.kv_heads
    slow = range(half - round(SLOW_PAIRS * half), half)
    places = torch.tensor([place for pair in reversed(slow) for place in (pair, pair + half)])
    turns, roots = _turns(speeds, distance), (_roots(text), _roots(vision))
    telling = VISION_MARGIN * shape.head_dim**0.5 * _separator(vision, text)
    constant = torch.zeros_like(telling)
    constant[-1] = 1.0
    for group, key in enumerate(keys):
        heads = range(group * shared, (group + 1) * shared)
        asking, looked_at = _strongest(queries[heads.start : heads.stop], key, *roots, len(places) - 1)
        fresh = _noise(key, generator).index_copy(0, places, torch.cat((telling[None], looked_at)))
        _set(attention.k_proj, fresh, group)
        for head, components in zip(heads, asking, strict=True):
            fresh = _noise(key, generator).index_copy(0, places, torch.cat((constant[None], components)))
            _set(attention.q_proj, turns @ fresh, head)
    attention.v_proj.weight.copy_(values[:, :-1])
    attention.v_proj.bias.copy_(values[:, -1])
    attention.o_proj.weight.copy_(block.gate * block.o_proj.weight)
    layer.input_layernorm.weight.fill_(1.0)  # the block's norms are in the projections


def _strongest(queries: Tensor, keys: Tensor, text: Roots, vision: Roots, rank: int) -> tuple[Tensor, Tensor]:
    """The components of ``queries . keys`` that vary most over these states.

    Args:
        queries: of the heads that share the keys, acting on (state, 1) [heads, head_dim, hidden + 1].
        keys: [head_dim, hidden + 1].
        text: of the states that ask.
        vision: of the states that are looked at.
        rank: how many.

    Returns:
        Queries [heads, rank, hidden + 1] and keys [rank, hidden + 1] with nearly the same products.
    """
    scores = torch.cat([text.root @ head.T @ keys @ vision.root for head in queries])
    left, sizes, right = torch.linalg.svd(scores, full_matrices=False)
    roots = sizes[:rank].sqrt()
    asking = torch.stack([roots[:, None] * (part[:, :rank].T @ text.inverse) for part in left.chunk(len(queries))])
    return asking, roots[:, None] * (right[:rank] @ vision.inverse)


def _roots(states: Tensor) -> Roots:
    rows = _with_one(states)
    sizes, directions = torch.linalg.eigh(rows.T @ rows / len(rows))
    sizes = sizes.clamp(min=sizes.max() * 1e-5)
    return Roots(directions * sizes.sqrt() @ directions.T, directions * sizes.rsqrt() @ directions.T)


def _separator(ones: Tensor, others: Tensor) -> Tensor:
    """Weights of (state, 1) whose product is near 1 for ``ones`` and near -1 for ``others`` [hidden + 1]."""
    rows = torch.cat((_with_one(ones), _with_one(others)))
    wanted = torch.cat((torch.ones(len(ones)), -torch.ones(len(others)))).double()
    moments = rows.T @ rows + RIDGE * len(rows) * torch.eye(rows.shape[1]).double()
    return torch.linalg.solve(moments, rows.T @ wanted)


def _turns(speeds: Tensor, distance: float) -> Tensor:
    """Turns queries so that keys ``distance`` before them meet them as if at the same place [head_dim, head_dim]."""
    cosines, sines = torch.diag((speeds * distance).cos()), torch.diag((speeds * distance).sin())
    return torch.cat((torch.cat((cosines, sines), dim=1), torch.cat((-sines, cosines), dim=1)))


def _affine(linear: nn.Linear, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """``linear(scale * x + shift)`` as one matrix that acts on (x, 1) [out, in + 1]."""
    weight, bias = linear.weight.double(), _double(linear.bias)
    if shift is not None:
        bias = bias + weight @ shift
    return torch.cat((weight * scale, bias[:, None]), dim=1)


def _set(linear: nn.Linear, affine: Tensor, head: int) -> None:
    """Make ``affine`` [head_dim, in + 1] the rows of one head."""
    rows = slice(head * len(affine), (head + 1) * len(affine))
    linear.weight[rows], linear.bias[rows] = affine[:, :-1].float(), affine[:, -1].float()


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    noise = NOISE * torch.randn(like.shape, generator=generator).double()
    noise[:, -1] = 0.0
    return noise


def _with_one(states: Tensor) -> Tensor:
    return torch.cat((states, torch.ones(len(states), 1, dtype=states.dtype)), dim=1)


def _double(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias.double()
