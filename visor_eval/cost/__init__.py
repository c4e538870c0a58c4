"""Closed-form cost: layer plans, model shapes, FLOPs, KV cache, AnyRes token counts. Plain numbers, no torch."""

from visor_eval.cost.anyres import AnyRes, AnyResCount
from visor_eval.cost.configurations import (
    PAPER_CONFIGURATIONS,
    candidate_layers,
    configurations,
    cross_attention_layers,
)
from visor_eval.cost.flops import NOT_COUNTED, decode_flops, kv_cache_bytes, prefill_flops, router_flops, tower_flops
from visor_eval.cost.native import NativeResolution
from visor_eval.cost.plan import LayerPlan, LayerStep, Reader, VisionMode
from visor_eval.cost.sample import SampleCost, cost_record, sample_cost
from visor_eval.cost.shapes import (
    BACKBONES,
    SIGLIP_SO400M_384,
    BackboneShape,
    DecoderShape,
    NativeTowerShape,
    ProjectorShape,
    TowerShape,
    VisorShape,
    backbone,
)

__all__ = [
    "BACKBONES",
    "NOT_COUNTED",
    "PAPER_CONFIGURATIONS",
    "SIGLIP_SO400M_384",
    "AnyRes",
    "AnyResCount",
    "BackboneShape",
    "DecoderShape",
    "LayerPlan",
    "LayerStep",
    "NativeResolution",
    "NativeTowerShape",
    "ProjectorShape",
    "Reader",
    "SampleCost",
    "TowerShape",
    "VisionMode",
    "VisorShape",
    "backbone",
    "candidate_layers",
    "configurations",
    "cost_record",
    "cross_attention_layers",
    "decode_flops",
    "kv_cache_bytes",
    "prefill_flops",
    "router_flops",
    "sample_cost",
    "tower_flops",
]
