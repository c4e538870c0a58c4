"""Reducers in a row: which run before the projector, which after, and whether they fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from visor_eval.core.tokens import ReducedTokens, VisionTokens
from visor_eval.cost.reducing import reducing_flops
from visor_eval.errors import SetupError
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
        return reducing_flops(self.reducers, shape, tiles=tiles, tokens=shape.tower.tokens) if shape.tower else 0

    def check(self, shape: BackboneShape) -> None:
        """Try the reducers on a blank image, so that what cannot work is refused before the first sample.

        Raises:
            SetupError: reducers that do not fit together, or a budget above what a tile has.
        """
        if not self.reducers or shape.tower is None:
            return
        tower, tiles = shape.tower, 2
        blank = VisionTokens(
            features=torch.zeros(tiles, tower.tokens, tower.hidden),
            tile_shape=(tower.side, tower.side),
            grid=(1, 1),
            image_size=(tower.tile_px, tower.tile_px),
            scores=torch.zeros(tiles, tower.tokens),
            keys=torch.zeros(tiles, tower.tokens, tower.hidden // tower.heads),
            first_scores=torch.zeros(tower.tokens),
            fingerprint=0,
        )
        try:
            left = self.before_projector(blank)
            self.after_projector(left.with_features(torch.zeros(left.num_tokens, shape.decoder.hidden)))
        except ValueError as error:
            raise SetupError(f"--model_args: {error}") from error

    def _run(self, tokens: AnyTokens, *, after_projector: bool) -> AnyTokens:
        earlier = isinstance(tokens, ReducedTokens)  # selected on the projector's other side
        for reducer in self.reducers:
            if reducer.after_projector is not after_projector:
                continue
            if isinstance(tokens, ReducedTokens):
                raise SetupError(
                    f"{type(reducer).__name__} works on complete grids, but a reducer before it has already selected "
                    f"tokens: {'' if earlier else 'put it first, or '}leave one of the two out"
                )
            if reducer.needs and not all(getattr(tokens, need) is not None for need in reducer.needs):
                raise SetupError(
                    f"{type(reducer).__name__} needs the tower's attention on the tower's own grid, which a reducer "
                    "before it has changed: put it first, or leave one of the two out"
                )
            tokens = reducer.reduce(tokens)
        return tokens


UNREDUCED = Reduction()
