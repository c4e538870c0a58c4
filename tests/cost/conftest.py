"""Fixtures of the cost room's tests."""

from dataclasses import replace

import pytest

from visor_eval.cost import (
    BackboneShape,
    DecoderShape,
    ProjectorShape,
    TowerShape,
    VisorShape,
    backbone,
    cross_attention_layers,
)


@pytest.fixture(scope="session")
def tiny() -> BackboneShape:
    """A shape whose widths are all different, so that a mixed-up width shows."""
    return BackboneShape(
        name="tiny",
        decoder=DecoderShape(layers=6, hidden=24, heads=6, kv_heads=2, head_dim=8, intermediate=40, vocab=101),
        tower=TowerShape(layers=2, hidden=20, heads=2, intermediate=36, patch_px=4, tile_px=22),
        projector=ProjectorShape(inputs=20, hidden=24, outputs=24),
        visor=VisorShape(read_layers=(2, 5), conv_kernel=7, router_hidden=10, configurations=5, probe_layer=3),
    )


@pytest.fixture(scope="session")
def half_billion() -> BackboneShape:
    """The paper's 0.5B model with VISOR's default blocks and a router."""
    visor = VisorShape(read_layers=cross_attention_layers(24), router_hidden=256)
    return replace(backbone("llava-ov-0.5b"), visor=visor)
