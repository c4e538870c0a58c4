"""Closed-form FLOPs of the parts: tower, projector, and one decoder pass under a layer plan.

Counted as torch's FlopCounterMode counts the operations that are dispatched: a multiply-add is 2 FLOPs, attention is
counted over all query-key pairs that the kernel is asked for, biases are free. `tests/cost` compares to the last unit.
"""

from visor_eval.cost.plan import LayerPlan, LayerStep, Reader, VisionMode
from visor_eval.cost.shapes import DecoderShape, NativeTowerShape, ProjectorShape, TowerShape, VisorShape
from visor_eval.records.cost_record import Flops

NOT_COUNTED = (
    "norms",
    "activation functions",
    "softmax",
    "rotary positions",
    "token embedding",
    "residual and bias additions",
    "image resizing, unpadding and tokenisation",
    "sampling",
)


def tower_flops(tower: TowerShape, tiles: int) -> int:
    """FLOPs of the vision tower over ``tiles`` tiles: patch embedding and ``tower.layers`` layers, no pooling head."""
    tokens, hidden = tower.tokens, tower.hidden
    patch_embedding = 2 * tokens * hidden * tower.channels * tower.patch_px**2
    projections = 8 * tokens * hidden**2
    attention = 4 * tokens**2 * hidden
    mlp = 4 * tokens * hidden * tower.intermediate
    return tiles * (patch_embedding + tower.layers * (projections + attention + mlp))


def native_tower_flops(tower: NativeTowerShape, vision_tokens: int) -> int:
    """FLOPs of a tower without tiles over one image of ``vision_tokens``; every patch attends to every one."""
    patches, hidden = vision_tokens * tower.merge**2, tower.hidden
    patch_embedding = 2 * patches * hidden * tower.channels * tower.frames * tower.patch_px**2
    layer = 8 * patches * hidden**2 + 4 * patches**2 * hidden + 4 * patches * hidden * tower.intermediate
    return patch_embedding + tower.layers * layer


def projector_flops(projector: ProjectorShape, tokens: int) -> int:
    """FLOPs of the projector over ``tokens`` tokens."""
    return 2 * tokens * projector.hidden * (projector.inputs + projector.outputs)


def projection_flops(decoder: DecoderShape, tokens: int) -> int:
    """FLOPs of q, k, v and o of one layer over ``tokens`` tokens."""
    return query_flops(decoder, tokens) + key_value_flops(decoder, tokens)


def query_flops(decoder: DecoderShape, tokens: int) -> int:
    """FLOPs of the q and o projections of one layer over ``tokens`` tokens."""
    return 4 * tokens * decoder.hidden * decoder.query_width


def key_value_flops(decoder: DecoderShape, tokens: int) -> int:
    """FLOPs of the k and v projections of one layer over ``tokens`` tokens."""
    return 4 * tokens * decoder.hidden * decoder.kv_width


def attention_flops(decoder: DecoderShape, pairs: int) -> int:
    """FLOPs of scores and weighted sum over ``pairs`` query-key pairs, all heads of one layer."""
    return 4 * pairs * decoder.query_width


def mlp_flops(decoder: DecoderShape, tokens: int) -> int:
    """FLOPs of gate, up and down of one layer over ``tokens`` tokens."""
    return 6 * tokens * decoder.hidden * decoder.intermediate


def lm_head_flops(decoder: DecoderShape, positions: int = 1) -> int:
    """FLOPs of the LM head over ``positions`` positions."""
    return 2 * positions * decoder.hidden * decoder.vocab


def convolution_flops(decoder: DecoderShape, kernel: int, tokens: int) -> int:
    """FLOPs of the depthwise convolution over ``tokens`` vision tokens, output as long as the input."""
    return 2 * kernel * decoder.hidden * tokens


def router_mlp_flops(decoder: DecoderShape, visor: VisorShape) -> int:
    """FLOPs of the router's two linear layers on the routing token."""
    return 2 * visor.router_hidden * (decoder.hidden + visor.configurations)


def prefill_flops(
    decoder: DecoderShape, plan: LayerPlan, *, text_tokens: int, readers: int, conv_kernel: int = 7
) -> Flops:
    """Decoder FLOPs of one prompt under ``plan``, LM head on the last position included, router excluded.

    Args:
        decoder: the decoder's shape.
        plan: one step per layer.
        text_tokens: prompt tokens that are not vision.
        readers: text tokens placed after the first vision token; only they read in READ layers with an added block.
        conv_kernel: width of the added blocks' depthwise convolution; 0: none.
    """
    projections = attention = causal = mlp = cross = cross_causal = 0
    for step, layers in plan.kinds.items():
        tokens = text_tokens + (step.vision_tokens if step.mode is VisionMode.FULL else 0)
        projections += layers * projection_flops(decoder, tokens)
        mlp += layers * mlp_flops(decoder, tokens)
        attention += layers * attention_flops(decoder, tokens**2)
        causal += layers * attention_flops(decoder, tokens * (tokens + 1) // 2)
        if step.mode is VisionMode.READ and step.vision_tokens:
            asked, allowed = _read_flops(decoder, step, text_tokens=text_tokens, readers=readers, kernel=conv_kernel)
            cross += layers * asked
            cross_causal += layers * allowed
    return Flops(
        projections=projections,
        attention=attention,
        mlp=mlp,
        cross_attention=cross,
        lm_head=lm_head_flops(decoder),
        attention_causal=causal,
        cross_attention_causal=cross_causal,
    )


def _read_flops(
    decoder: DecoderShape, step: LayerStep, *, text_tokens: int, readers: int, kernel: int
) -> tuple[int, int]:
    """FLOPs that reading adds to a text-only layer: (all pairs asked for, pairs the causal mask lets through)."""
    vision = step.vision_tokens
    allowed = attention_flops(decoder, readers * vision)
    keys = key_value_flops(decoder, vision)
    if step.reader is Reader.OWN:  # every text token is a query of the layer's own attention, the prefix is masked
        return keys + attention_flops(decoder, text_tokens * vision), keys + allowed
    block = keys + query_flops(decoder, readers) + convolution_flops(decoder, kernel, vision)
    return block + allowed, block + allowed


def decode_flops(decoder: DecoderShape, plan: LayerPlan, *, text_tokens: int, steps: int) -> Flops:
    """Decoder FLOPs of ``steps`` decode steps after the prompt; step t attends to the cached prompt and t tokens.

    A READ layer reads its cached vision keys; there is no causal half, since every pair is allowed.
    """
    own_pairs = steps * (steps + 1) // 2  # generated tokens attending to generated tokens
    projections = attention = mlp = cross = 0
    for step, layers in plan.kinds.items():
        cached = text_tokens + (step.vision_tokens if step.mode is VisionMode.FULL else 0)
        projections += layers * projection_flops(decoder, steps)
        mlp += layers * mlp_flops(decoder, steps)
        attention += layers * attention_flops(decoder, steps * cached + own_pairs)
        if step.mode is VisionMode.READ and step.vision_tokens:
            cross += layers * attention_flops(decoder, steps * step.vision_tokens)
            cross += layers * query_flops(decoder, steps) if step.reader is Reader.ADDED else 0
    return Flops(
        projections=projections,
        attention=attention,
        mlp=mlp,
        cross_attention=cross,
        lm_head=lm_head_flops(decoder, steps),
        attention_causal=attention,
        cross_attention_causal=cross,
    )


def router_flops(decoder: DecoderShape, plan: LayerPlan, visor: VisorShape, *, text_tokens: int) -> tuple[int, int]:
    """FLOPs that the routing token adds: (all pairs asked for, pairs the causal mask lets through).

    It is the last token of the sequence in layers 1..probe_layer, reads vision there like any text token, and then
    goes through the router's MLP.
    """
    if visor.probe_layer > len(plan):
        raise ValueError(f"probe_layer {visor.probe_layer} lies beyond the decoder's {len(plan)} layers")
    asked = allowed = router_mlp_flops(decoder, visor)
    for step in plan.steps[: visor.probe_layer]:
        tokens = text_tokens + (step.vision_tokens if step.mode is VisionMode.FULL else 0)
        token = projection_flops(decoder, 1) + mlp_flops(decoder, 1)
        if step.mode is VisionMode.READ and step.vision_tokens:
            token += attention_flops(decoder, step.vision_tokens)
            token += query_flops(decoder, 1) if step.reader is Reader.ADDED else 0
        asked += token + attention_flops(decoder, 2 * tokens + 1)
        allowed += token + attention_flops(decoder, tokens + 1)
    return asked, allowed


def kv_cache_bytes(
    decoder: DecoderShape, plan: LayerPlan, *, text_tokens: int, generated_tokens: int, dtype_bytes: int
) -> int:
    """Bytes of keys and values held when generation ends; the last generated token is never cached.

    Args:
        decoder: the decoder's shape.
        plan: a FULL or READ layer holds its vision tokens, an ABSENT one holds none.
        text_tokens: prompt tokens that are not vision.
        generated_tokens: produced tokens.
        dtype_bytes: bytes of one stored number (2 for half precision).
    """
    text = text_tokens + max(generated_tokens - 1, 0)
    cached = sum(text + step.vision_tokens for step in plan.steps)
    return 2 * cached * decoder.kv_width * dtype_bytes
