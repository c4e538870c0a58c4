"""Token packing (VISOR-TR): the tower's patch grid, interpolated to fewer tokens before the projector.

Supplement S9: a factor of 1/sqrt(2) per side halves the tokens, 27 x 27 -> 19 x 19. The text also speaks of a
space-to-depth step. The default here is plain interpolation, which adds no parameter; ``space_to_depth`` gathers each
2 x 2 block into one token of four times the width and needs a projector that was built for it.
"""

from dataclasses import dataclass

import torch.nn.functional as F

from visor_eval.core.tokens import VisionTokens
from visor_eval.errors import SetupError
from visor_eval.visor.budget import PackingBudget
from visor_eval.visor.config import VisorConfig


@dataclass(frozen=True, kw_only=True)
class TokenPacking(PackingBudget):
    """Pack about ``factor`` vision tokens into one."""

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """[tiles, rows * cols, dim] -> [tiles, packed rows * packed cols, dim or 4 * dim]."""
        rows, cols = self.packed_shape(tokens.tile_shape)
        if (rows, cols) == tokens.tile_shape and self.mode == "interpolate":
            return tokens
        grid = tokens.features.unflatten(1, tokens.tile_shape).permute(0, 3, 1, 2)  # [tiles, dim, rows, cols]
        if self.mode == "space_to_depth":
            grid = F.interpolate(grid.float(), (2 * rows, 2 * cols), mode="bilinear").to(grid.dtype)
            grid = F.pixel_unshuffle(grid, 2)
        else:
            grid = F.interpolate(grid.float(), (rows, cols), mode="bilinear").to(grid.dtype)
        return tokens.on_grid(grid.flatten(2).transpose(1, 2), (rows, cols))


def packers(config: VisorConfig, wanted: float | None = None) -> tuple[TokenPacking, ...]:
    """The packing that a checkpoint was trained with, or a ``wanted`` factor on one that packs nothing.

    Raises:
        SetupError: another factor is wanted than the checkpoint was trained with.
    """
    if wanted is not None and config.packing > 1 and wanted != config.packing:
        raise SetupError(
            f"these weights were trained on {config.packing:g}x packed tokens: leave factor={wanted:g} out"
        )
    factor = config.packing if config.packing > 1 else wanted or 1.0
    return (TokenPacking(factor=factor, mode=config.packing_mode),) if factor > 1 else ()
