"""Everything VISOR adds to a stock backbone, under one roof and one name in the checkpoint (``visor.*``)."""

from collections.abc import Mapping

from torch import nn
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model

from visor_eval.models.configs import head_dim, kv_heads
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.cross_attention import AttentionShape, CrossAttentionBlock
from visor_eval.visor.router import Router


class VisorModules(nn.Module):
    """Cross-attention blocks by 1-based layer number (as strings, since ModuleDict wants them) and the router."""

    def __init__(self, config: VisorConfig, text_config: Qwen2Config) -> None:
        """Build untrained modules that fit a decoder of ``text_config``."""
        super().__init__()
        self.config = config
        shape = AttentionShape(
            hidden=text_config.hidden_size,
            heads=text_config.num_attention_heads,
            kv_heads=kv_heads(text_config),
            head_dim=head_dim(text_config),
            norm_eps=text_config.rms_norm_eps,
        )
        self.blocks = nn.ModuleDict(
            {str(layer): CrossAttentionBlock(shape, config.conv_kernel) for layer in config.read_layers}
        )
        self.router = (
            Router(shape.hidden, config.router_hidden, len(config.configurations), shape.norm_eps)
            if config.router
            else None
        )

    def initialise_from(self, decoder: Qwen2Model, layer_of: Mapping[int, int] | None = None) -> None:
        """Start every block from the projections of the layer it follows, or of ``layer_of`` it; both count from 1."""
        for layer, block in self.blocks.items():
            source = (layer_of or {}).get(int(layer), int(layer))
            block.initialise_from(decoder.layers[source - 1])  # type: ignore[operator, arg-type]
