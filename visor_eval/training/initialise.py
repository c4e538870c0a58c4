"""A starting point in which looking things up is easy to learn, for a model too small and a run too short for luck.

All of it is documented as an aid in the model cards. In a stock layer queries and keys are random, so that attention
starts out nearly uniform; values pass through: W_o = a W_v^T with orthogonal W_v, so that a layer starts as a faint
copy of what it attends to. In an added block W_k = W_q as well, so that a word attends to the places that show it.
"""

import torch
from torch import nn
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

from visor_eval.models.configs import text_config
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.cross_attention import CrossAttentionBlock
from visor_eval.visor.modules import VisorModules

STOCK_COPY = 0.04  # size of the copy, against embeddings of size 0.2
BLOCK_COPY = 0.2


@torch.no_grad()
def prepare_attention(model: LlavaOnevisionForConditionalGeneration, seed: int = 0) -> None:
    """Start the stock layers' attention nearly uniform, passing values through, in place."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.model.language_model.layers:
        attention = layer.self_attn
        nn.init.normal_(attention.k_proj.weight, std=attention.k_proj.in_features**-0.5, generator=generator)
        _copying(attention, STOCK_COPY, generator)


@torch.no_grad()
def add_visor(
    model: LlavaOnevisionForConditionalGeneration,
    *,
    seed: int = 0,
    gate: float = 1.0,
    config: VisorConfig | None = None,
) -> VisorModules:
    """Build VISOR modules beside a decoder that nothing was learnt by yet, gates open.

    The paper converts a trained model and so starts from closed gates; here everything starts from scratch, and open
    gates let the blocks learn from the first step.
    """
    inner = model.model.language_model
    generator = torch.Generator().manual_seed(seed)
    modules = VisorModules(config or VisorConfig.for_layers(len(inner.layers)), text_config(model.config))
    modules.initialise_from(inner)
    for block in modules.blocks.values():
        assert isinstance(block, CrossAttentionBlock)
        _copying(block, BLOCK_COPY, generator)
        nn.init.orthogonal_(block.q_proj.weight, generator=generator)
        shared = block.shape.heads // block.shape.kv_heads
        queries = block.q_proj.weight.unflatten(0, (block.shape.kv_heads, shared, -1))
        block.k_proj.weight.copy_(queries[:, 0].flatten(0, 1))
        block.gate.fill_(gate)
    return modules


def _copying(attention: Qwen2Attention | CrossAttentionBlock, size: float, generator: torch.Generator) -> None:
    values = attention.v_proj.weight
    nn.init.orthogonal_(values, generator=generator)
    width = attention.shape.head_dim if isinstance(attention, CrossAttentionBlock) else attention.head_dim
    shared = attention.o_proj.in_features // attention.v_proj.out_features  # heads that read the same values
    read = values.unflatten(0, (-1, width)).repeat_interleave(shared, dim=0).flatten(0, 1)
    attention.o_proj.weight.copy_(size / shared * read.T)
