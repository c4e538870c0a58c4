"""Reference models whose dispatched operations the closed form must equal: transformers' modules, a plain block."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, Qwen2ForCausalLM, SiglipVisionModel
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionMultiModalProjector

from visor_eval.cost import (
    BackboneShape,
    DecoderShape,
    LayerPlan,
    ProjectorShape,
    Reader,
    TowerShape,
    VisionMode,
    VisorShape,
)
from visor_eval.models.shapes import decoder_config, tower_config


class AddedBlock(nn.Module):
    """Cross-attention with grouped heads and a depthwise convolution over the vision tokens."""

    def __init__(self, decoder: DecoderShape, kernel: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.q = nn.Linear(decoder.hidden, decoder.query_width)
        self.k = nn.Linear(decoder.hidden, decoder.kv_width)
        self.v = nn.Linear(decoder.hidden, decoder.kv_width)
        self.o = nn.Linear(decoder.query_width, decoder.hidden, bias=False)
        self.conv = nn.Conv1d(decoder.hidden, decoder.hidden, kernel, padding=kernel // 2, groups=decoder.hidden)
        self.cached: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, readers: torch.Tensor, vision: torch.Tensor | None) -> torch.Tensor:
        if vision is not None:
            vision = vision + self.conv(vision.transpose(1, 2)).transpose(1, 2)
            self.cached = (self._heads(self.k(vision)), self._heads(self.v(vision)))
        assert self.cached is not None
        read = scaled_dot_product_attention(self._heads(self.q(readers)), *self.cached, enable_gqa=True)
        return self.o(read.transpose(1, 2).flatten(2))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, self.decoder.head_dim)).transpose(1, 2)


class Reference:
    """A Qwen2 decoder that executes any plan layer by layer, with a ragged cache."""

    def __init__(self, shape: BackboneShape, device: str = "cpu") -> None:
        decoder = shape.decoder
        self.shape, self.device = shape, device
        with torch.device(device):
            self.model = Qwen2ForCausalLM(decoder_config(decoder)).eval()
            visor = shape.visor or VisorShape(read_layers=())
            self.blocks = {layer: AddedBlock(decoder, visor.conv_kernel) for layer in visor.read_layers}
            self.router = nn.Sequential(
                nn.Linear(decoder.hidden, max(visor.router_hidden, 1)),
                nn.GELU(),
                nn.Linear(max(visor.router_hidden, 1), visor.configurations),
            )
        self.cache = DynamicCache()  # ragged: one length per layer
        self.own_cached: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def layer(self, index: int, hidden: torch.Tensor, past: int = 0) -> torch.Tensor:
        lm = self.model.model
        positions = torch.arange(past, past + hidden.shape[1], device=self.device)[None]
        length = past + hidden.shape[1]
        mask = torch.ones(hidden.shape[1], length, dtype=torch.bool, device=self.device).tril(past)[None, None]
        return lm.layers[index](
            hidden,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            position_embeddings=lm.rotary_emb(hidden, positions),
        )

    def read_own(self, index: int, text: torch.Tensor, vision: torch.Tensor | None) -> torch.Tensor:
        """The layer's own attention with text queries over stale vision and text keys, then its MLP."""
        lm, decoder = self.model.model.layers[index], self.shape.decoder
        attn = lm.self_attn
        past = self.own_cached.get(index)
        source = text if vision is None else torch.cat([vision, text], 1)

        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (-1, decoder.head_dim)).transpose(1, 2)

        keys, values = heads(attn.k_proj(source)), heads(attn.v_proj(source))
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        self.own_cached[index] = (keys, values)
        mask = torch.ones(text.shape[1], keys.shape[2], dtype=torch.bool, device=self.device)
        read = scaled_dot_product_attention(heads(attn.q_proj(text)), keys, values, mask[None, None], enable_gqa=True)
        text = text + attn.o_proj(read.transpose(1, 2).flatten(2))
        return text + lm.mlp(lm.post_attention_layernorm(text))

    def prefill(self, plan: LayerPlan, text_tokens: int, readers: int, routing: bool = False) -> None:
        """Vision tokens come first in the sequence here; only their number matters for the count."""
        self.cache, self.own_cached = DynamicCache(), {}
        width = self.shape.decoder.hidden
        text = torch.zeros(1, text_tokens + routing, width, device=self.device)
        probe = self.shape.visor.probe_layer if self.shape.visor else 0
        for index, step in enumerate(plan.steps):
            vision = torch.zeros(1, step.vision_tokens, width, device=self.device)
            if step.mode is VisionMode.FULL:
                text = self.layer(index, torch.cat([vision, text], 1))[:, step.vision_tokens :]
            elif step.mode is VisionMode.READ and step.reader is Reader.OWN:
                text = self.read_own(index, text, vision)
            else:
                text = self.layer(index, text)
                if step.mode is VisionMode.READ:
                    self.blocks[index + 1](text[:, text_tokens - readers :], vision)
            if routing and index + 1 == probe:
                self.router(text[:, -1])
                text = text[:, :-1]
                routing = False
        self.model.lm_head(text[:, -1:])

    def decode(self, plan: LayerPlan, text_tokens: int, steps: int) -> None:
        width = self.shape.decoder.hidden
        for number in range(steps):
            token = torch.zeros(1, 1, width, device=self.device)
            for index, step in enumerate(plan.steps):
                full = step.vision_tokens if step.mode is VisionMode.FULL else 0
                if step.mode is VisionMode.READ and step.reader is Reader.OWN:
                    token = self.read_own(index, token, None)
                    continue
                token = self.layer(index, token, past=text_tokens + full + number)
                if step.mode is VisionMode.READ:
                    self.blocks[index + 1](token, None)
            self.model.lm_head(token)


def tower_model(tower: TowerShape, device: str = "cpu") -> SiglipVisionModel:
    with torch.device(device):
        return SiglipVisionModel(tower_config(tower)).eval()


def projector_model(projector: ProjectorShape, device: str = "cpu") -> LlavaOnevisionMultiModalProjector:
    from transformers import LlavaOnevisionConfig

    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "hidden_size": projector.inputs, "num_attention_heads": 1},
        text_config={"model_type": "qwen2", "hidden_size": projector.outputs},
    )
    with torch.device(device):
        return LlavaOnevisionMultiModalProjector(config)


def count(call: object, *args: object) -> int:
    """FLOPs that torch's counter sees while ``call(*args)`` runs."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*args)  # type: ignore[operator]
    return counter.get_total_flops()
