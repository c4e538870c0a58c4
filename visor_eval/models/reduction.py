"""Reducers in a row: which run before the projector, which after, and whether they fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visor_eval.core.tokens import ReducedTokens, VisionTokens
from visor_eval.errors import SetupError
from visor_eval.models.capture import capture_flops
from visor_eval.models.layout import TRAINED, Layout

if TYPE_CHECKING:
    from PIL.Image import Image

    from visor_eval.core.tokens import AnyTokens, Need, Reducer
    from visor_eval.cost.shapes import BackboneShape


@dataclass(frozen=True)
class Reduction:
    """Reducers from left to right, and the layout of what they leave."""

    reducers: tuple[Reducer, ...] = ()
    layout: Layout = TRAINED

    @property
    def needs(self) -> frozenset[Need]:
        """What the tower must capture."""
        return frozenset().union(*(reducer.needs for reducer in self.reducers))

    def prepare(self, image: Image) -> Image:
        """Let reducers that act on pixels (``prepare``) change the image before it is tiled."""
        for reducer in self.reducers:
            prepare = getattr(reducer, "prepare", None)
            image = image if prepare is None else prepare(image)
        return image

    def before_projector(self, tokens: VisionTokens) -> AnyTokens:
        """Run the reducers that act on the tower's features."""
        return self._run(tokens, after_projector=False)

    def after_projector(self, tokens: AnyTokens) -> AnyTokens:
        """Run the reducers that act on the projector's features."""
        return self._run(tokens, after_projector=True)

    def flops(self, tiles: int, shape: BackboneShape) -> int:
        """Matrix products of capture and reducers for one image."""
        if not self.reducers or shape.tower is None:
            return 0
        tower = shape.tower
        total = capture_flops(self.needs, tiles, tower)
        for reducer in self.reducers:
            dim = shape.decoder.hidden if reducer.after_projector else tower.hidden
            total += reducer.flops(tiles=tiles, tokens=tower.tokens, dim=dim, key_dim=tower.hidden // tower.heads)
        return total

    def nominal_tile_tokens(self, left: float, whole: int) -> float:
        """Vision tokens of one tile for the `paper` accounting.

        Those that are left, unless a reducer is named by a nominal factor that its grid only comes close to (VISOR-TR:
        2 for 19 x 19 of 27 x 27).

        Args:
            left: tokens left per tile.
            whole: tokens of a tile without reducers.
        """
        named = [getattr(reducer, "nominal_factor", None) for reducer in self.reducers]
        factors = [factor for factor in named if factor is not None]
        return whole / math.prod(factors) if factors else left

    def _run(self, tokens: AnyTokens, *, after_projector: bool) -> AnyTokens:
        for reducer in self.reducers:
            if reducer.after_projector is not after_projector:
                continue
            if isinstance(tokens, ReducedTokens):
                raise SetupError(
                    f"{type(reducer).__name__} works on complete grids, but a reducer before it has already selected "
                    "tokens: put it first, or leave one of the two out"
                )
            if reducer.needs and not all(getattr(tokens, need) is not None for need in reducer.needs):
                raise SetupError(
                    f"{type(reducer).__name__} needs the tower's attention on the tower's own grid, which a reducer "
                    "before it has changed: put it first, or leave one of the two out"
                )
            tokens = reducer.reduce(tokens)
        return tokens


UNREDUCED = Reduction()
