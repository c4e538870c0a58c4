"""The authors' order of tokens is the layout with newline=none."""

import torch

from tests.baselines.vectors import golden_cases, tokens_of
from visor_eval.core.tokens import ReducedTokens
from visor_eval.models.layout import Layout, lay_out, packed_order


@golden_cases("visionzip_pack")
def test_visionzip_order(golden):
    rows, cols, side = (golden.params[name] for name in ("grid_rows", "grid_cols", "grid_side"))
    kept, contextual = golden["kept_patch_indices"], golden.params["num_contextual"]
    thumbnail = torch.arange(kept.shape[1])[None] * 3  # not in the golden: it goes in front unchanged
    source = tokens_of(
        torch.zeros(1 + rows * cols, side**2, 1),
        tile_shape=(side, side),
        grid=(rows, cols),
        image_size=(side * rows, side * cols),
    )
    position = torch.cat([thumbnail, kept])
    position = torch.cat([position, torch.arange(contextual).expand(len(position), -1)], dim=1)
    features = torch.arange(position.numel(), dtype=torch.float32).view(*position.shape, 1)
    reduced = ReducedTokens.pack(source, features, position, merged=torch.arange(position.shape[1]) >= kept.shape[1])
    for unpad in (True, False):  # the picture fills the canvas
        order = packed_order(reduced, Layout(newline="none", unpad=unpad))
        own = position.shape[1]
        assert order[:own].tolist() == list(range(own))
        others = order[own:]
        assert torch.equal(reduced.tile[others] - 1, golden["out_tile"].long())
        assert torch.equal(reduced.position[others], golden["out_index"].long())
        assert torch.equal(reduced.merged[others], golden["out_is_contextual"].bool())
    sequence = lay_out(reduced, torch.zeros(1), 9, Layout(newline="none"))
    assert torch.equal(sequence[:, 0].long(), order)


@golden_cases("hired_pack")
def test_hired_order_and_unpadding(golden):
    rows, cols, side = (golden.params[name] for name in ("grid_rows", "grid_cols", "grid_side"))
    keep = golden["kept_mask"].bool()
    source = tokens_of(
        torch.zeros(*keep.shape, 1),
        tile_shape=(side, side),
        grid=(rows, cols),
        image_size=(golden.params["image_height"], golden.params["image_width"]),
    )
    reduced = ReducedTokens.select(source, keep)
    assert reduced.num_tokens == golden.params["num_kept_before_unpad"]
    order = packed_order(reduced, Layout(newline="none"))
    assert len(order) == golden.params["num_out"]
    assert torch.equal(reduced.tile[order], golden["out_tile"].long())
    assert torch.equal(reduced.position[order], golden["out_patch"].long())
