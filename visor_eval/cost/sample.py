"""The cost of one sample, and its CostRecord with the dense counterpart."""

from dataclasses import dataclass, replace
from functools import lru_cache

from visor_eval.cost.flops import (
    decode_flops,
    kv_cache_bytes,
    prefill_flops,
    projector_flops,
    router_flops,
    tower_flops,
)
from visor_eval.cost.plan import LayerPlan, VisionMode
from visor_eval.cost.shapes import BackboneShape
from visor_eval.records.cost_record import CostRecord, Flops


@dataclass(frozen=True, kw_only=True)
class SampleCost:
    """What one sample costs.

    Attributes:
        prefill: FLOPs up to the first generated token, tower included.
        decode: FLOPs of all later tokens.
        kv_cache_bytes: keys and values held when generation ends.
    """

    prefill: Flops
    decode: Flops
    kv_cache_bytes: int


def sample_cost(
    backbone: BackboneShape,
    plan: LayerPlan,
    *,
    prefix_tokens: int,
    text_tokens: int,
    tiles: int,
    generated_tokens: int,
    router: bool = False,
    projector_tokens: int | None = None,
    tower_tiles_flops: int | None = None,
    reducer_flops: int = 0,
    dtype_bytes: int = 2,
) -> SampleCost:
    """Cost of one sample under a plan.

    Args:
        backbone: shapes; ``backbone.visor`` must be set for ``router`` and where the plan reads through added blocks.
        plan: one step per decoder layer, with this sample's vision tokens.
        prefix_tokens: text tokens before the first vision token (they read no vision).
        text_tokens: all prompt tokens that are not vision, prefix included.
        tiles: tiles that the tower runs on, thumbnail included.
        generated_tokens: produced tokens; the first comes from the prefill, each later one from a decode step.
        router: whether the routing token and the router ran.
        projector_tokens: tokens that go through the projector; default all tokens of all tiles (reducers that act
            before the projector give their own number).
        tower_tiles_flops: FLOPs of the tower, for towers without a closed form here; default from the shape.
        reducer_flops: FLOPs of token reduction and of pruning scores.
        dtype_bytes: bytes of one number in the KV cache.

    Raises:
        ValueError: counts that contradict each other or the backbone.
    """
    decoder, visor = backbone.decoder, backbone.visor
    _check(backbone, plan, prefix_tokens=prefix_tokens, text_tokens=text_tokens, router=router)
    if tower_tiles_flops is None:
        tower_tiles_flops = tower_flops(backbone.tower, tiles) if backbone.tower else 0
    if projector_tokens is None:
        projector_tokens = tiles * backbone.tower.tokens if backbone.tower else 0
    prefill = prefill_flops(
        decoder,
        plan,
        text_tokens=text_tokens,
        readers=text_tokens - prefix_tokens,
        conv_kernel=visor.conv_kernel if visor else 0,
    )
    routing = routing_causal = 0
    if router and visor is not None:
        routing, routing_causal = router_flops(decoder, plan, visor, text_tokens=text_tokens)
    prefill = replace(
        prefill,
        tower=tower_tiles_flops,
        projector=projector_flops(backbone.projector, projector_tokens) if backbone.projector else 0,
        reducer=reducer_flops,
        router=routing,
        router_causal=routing_causal,
    )
    steps = max(generated_tokens - 1, 0)
    return SampleCost(
        prefill=prefill,
        decode=decode_flops(decoder, plan, text_tokens=text_tokens, steps=steps),
        kv_cache_bytes=kv_cache_bytes(
            decoder, plan, text_tokens=text_tokens, generated_tokens=generated_tokens, dtype_bytes=dtype_bytes
        ),
    )


def cost_record(
    backbone: BackboneShape,
    plan: LayerPlan,
    *,
    prefix_tokens: int,
    text_tokens: int,
    tiles: int,
    generated_tokens: int,
    dense_vision_tokens: int,
    configuration: tuple[int, ...] | None = None,
    router: bool = False,
    projector_tokens: int | None = None,
    tower_tiles_flops: int | None = None,
    reducer_flops: int = 0,
    dense_tiles: int | None = None,
    dense_tower_tiles_flops: int | None = None,
    dense_projector_tokens: int | None = None,
    tile_tokens: float | None = None,
    vision_tokens: int | None = None,
    dtype_bytes: int = 2,
) -> CostRecord:
    """Cost of one sample beside the cost of the dense model on the same image, prompt and generated length.

    Args not listed here are those of ``sample_cost``.

    Args:
        backbone: as for ``sample_cost``; the dense counterpart uses the same shapes.
        plan: as for ``sample_cost``.
        prefix_tokens: as for ``sample_cost``.
        text_tokens: as for ``sample_cost``.
        tiles: as for ``sample_cost``.
        generated_tokens: as for ``sample_cost``.
        dense_vision_tokens: vision tokens that the dense model would see for this image, newlines included.
        configuration: the configuration that the router or the user chose; None for methods without configurations.
        router: as for ``sample_cost``.
        projector_tokens: as for ``sample_cost``.
        tower_tiles_flops: as for ``sample_cost``.
        reducer_flops: as for ``sample_cost``.
        dense_tiles: tiles of the dense counterpart; default ``tiles``.
        dense_tower_tiles_flops: tower FLOPs of the dense counterpart; default ``tower_tiles_flops``.
        dense_projector_tokens: tokens through the projector of the dense counterpart; default all of all its tiles.
        tile_tokens: vision tokens of one tile that the method lets into the decoder, for the `paper` accounting;
            default: the tower's tokens of one tile (no reduction). VISOR-TR on 27x27 tiles gives 361, VisionZip 128.
        vision_tokens: that enter the decoder; default: the largest number in the plan.
        dtype_bytes: as for ``sample_cost``.
    """
    method = sample_cost(
        backbone,
        plan,
        prefix_tokens=prefix_tokens,
        text_tokens=text_tokens,
        tiles=tiles,
        generated_tokens=generated_tokens,
        router=router,
        projector_tokens=projector_tokens,
        tower_tiles_flops=tower_tiles_flops,
        reducer_flops=reducer_flops,
        dtype_bytes=dtype_bytes,
    )
    dense = _dense_cost(
        backbone,
        dense_vision_tokens,
        prefix_tokens=prefix_tokens,
        text_tokens=text_tokens,
        tiles=tiles if dense_tiles is None else dense_tiles,
        generated_tokens=generated_tokens,
        tower_tiles_flops=tower_tiles_flops if dense_tower_tiles_flops is None else dense_tower_tiles_flops,
        projector_tokens=dense_projector_tokens,
        dtype_bytes=dtype_bytes,
    )
    entering = max(step.vision_tokens for step in plan.steps) if vision_tokens is None else vision_tokens
    whole_tile = float(backbone.tower.tokens if backbone.tower and dense_vision_tokens else dense_vision_tokens)
    if tile_tokens is None or not dense_vision_tokens:  # without an image both sides of `paper` are 0
        tile_tokens = whole_tile
    return CostRecord(
        vision_tokens=entering,
        text_tokens=text_tokens,
        generated_tokens=generated_tokens,
        tiles=tiles,
        configuration=configuration,
        self_attention_layers=float(len(plan.full_layers)),
        prefill=method.prefill,
        decode=method.decode,
        dense_vision_tokens=dense_vision_tokens,
        dense_prefill=dense.prefill,
        dense_decode=dense.decode,
        nominal=tile_tokens * _layer_share(plan, entering),
        nominal_dense=whole_tile * len(plan),
        kv_cache_bytes=method.kv_cache_bytes,
        kv_cache_bytes_dense=dense.kv_cache_bytes,
    )


@lru_cache(maxsize=256)
def _dense_cost(
    backbone: BackboneShape,
    vision_tokens: int,
    *,
    prefix_tokens: int,
    text_tokens: int,
    tiles: int,
    generated_tokens: int,
    tower_tiles_flops: int | None,
    projector_tokens: int | None,
    dtype_bytes: int,
) -> SampleCost:
    """What the dense model pays; many methods are compared with the same."""
    return sample_cost(
        backbone,
        LayerPlan.dense(backbone.decoder.layers, vision_tokens),
        prefix_tokens=prefix_tokens,
        text_tokens=text_tokens,
        tiles=tiles,
        generated_tokens=generated_tokens,
        tower_tiles_flops=tower_tiles_flops,
        projector_tokens=projector_tokens,
        dtype_bytes=dtype_bytes,
    )


def _layer_share(plan: LayerPlan, entering: int) -> float:
    """Layers that process vision tokens, each weighted by the share of the entering tokens that it still sees."""
    if entering == 0:
        return float(len(plan.full_layers))
    return plan.nominal / entering


def _check(backbone: BackboneShape, plan: LayerPlan, *, prefix_tokens: int, text_tokens: int, router: bool) -> None:
    if len(plan) != backbone.decoder.layers:
        raise ValueError(f"the plan has {len(plan)} layers, {backbone.name} has {backbone.decoder.layers}")
    if not 0 <= prefix_tokens <= text_tokens:
        raise ValueError(f"prefix_tokens must lie in 0..text_tokens, got {prefix_tokens} of {text_tokens}")
    added = {
        number
        for number, step in enumerate(plan.steps, 1)
        if step.mode is VisionMode.READ and step.reader == "added" and step.vision_tokens
    }
    if (router or added) and backbone.visor is None:
        raise ValueError(f"{backbone.name} has no VisorShape, but the plan reads through added blocks or uses a router")
    if backbone.visor is not None and not added <= set(backbone.visor.read_layers):
        without = sorted(added - set(backbone.visor.read_layers))
        raise ValueError(f"layers {without} of {backbone.name} have no added block to read through")
    if router and backbone.visor is not None and backbone.visor.router_hidden == 0:
        raise ValueError(f"{backbone.name} has no router (router_hidden is 0)")
