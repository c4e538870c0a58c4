"""What reducers in a row cost, and how the `paper` accounting counts what they leave."""

import math
from collections.abc import Sequence

from visor_eval.cost.budgets import Reducing, Selection, TileShape
from visor_eval.cost.scoring import capture_flops, native_capture_flops
from visor_eval.cost.shapes import BackboneShape


def reducing_flops(reducers: Sequence[Reducing], backbone: BackboneShape, *, tiles: int, tokens: int) -> int:
    """Matrix products of capture and reducers for one image of ``tiles`` x ``tokens``.

    Without tiles (Qwen2-VL) the reducers are taken to act on merged tokens, the capture on patches.
    """
    if not reducers:
        return 0
    needs = frozenset[str]().union(*(reducer.needs for reducer in reducers))
    hidden = backbone.decoder.hidden
    if backbone.tower is not None:
        width, key_dim = backbone.tower.hidden, backbone.tower.hidden // backbone.tower.heads
        total = capture_flops(needs, tiles, backbone.tower)
    elif backbone.native_tower is not None:
        width, key_dim = hidden, backbone.native_tower.hidden // backbone.native_tower.heads
        total = native_capture_flops(needs, tokens, backbone.native_tower)
    else:
        return 0
    for reducer in reducers:
        dim = hidden if reducer.after_projector else width
        total += reducer.flops(tiles=tiles, tokens=tokens, dim=dim, key_dim=key_dim)
    return total


def nominal_tile_tokens(reducers: Sequence[object], left: float, tile_shape: TileShape) -> float:
    """Vision tokens of one tile for the `paper` accounting.

    Those that are left. A reducer that is named by a nominal factor, to which its grid only comes close (VISOR-TR: 2
    for 19 x 19 of 27 x 27), counts with that factor; what the others leave counts as it is.

    Args:
        reducers: of the method, or their budgets.
        left: tokens left per tile.
        tile_shape: tokens of a tile without reducers: rows, columns.
    """
    if all(getattr(reducer, "nominal_factor", None) is None for reducer in reducers):
        return left
    for reducer in sorted(reducers, key=lambda reducer: bool(getattr(reducer, "after_projector", False))):
        leaves = getattr(reducer, "left", None)
        result = None if leaves is None else leaves(1, tile_shape)
        if result is None:
            break  # what the next one works on is not known
        factor = getattr(reducer, "nominal_factor", None)
        if factor is not None:
            kept = result.tokens if isinstance(result, Selection) else math.prod(result)
            left = left * math.prod(tile_shape) / (kept * factor)
        if isinstance(result, Selection):
            break  # nothing works on a selection
        tile_shape = result
    return left
