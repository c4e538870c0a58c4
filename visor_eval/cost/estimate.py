"""The cost of a variant without running it: for a number of vision tokens, or for images of known sizes.

What a method keeps follows from its budget. Two things depend on the picture and are taken as if attention were spread
evenly over each tile: how many selected tokens lie in padding that is cut, and how HiRED shares its budget. ``most`` is
what no picture exceeds. Everything else is exact.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from visor_eval.cost.anyres import AnyRes
from visor_eval.cost.budgets import Cut, PlannedCounts, PrunerBudget, ReducerBudget, Selection, TileShape
from visor_eval.cost.flops import native_tower_flops, tower_flops
from visor_eval.cost.native import NativeResolution
from visor_eval.cost.reducing import nominal_tile_tokens, reducing_flops
from visor_eval.cost.sample import cost_record
from visor_eval.cost.shapes import BackboneShape
from visor_eval.cost.variants import Variant
from visor_eval.records.cost_record import CostRecord

PUBLISHED_TILE = (27, 27)  # the grid for which the methods' budgets are published


@dataclass(frozen=True, kw_only=True)
class VisionCounts:
    """What the images of one sample become under one method.

    Attributes:
        tokens: vision tokens that enter the decoder, newlines included.
        most: no picture of these sizes gives more.
        tiles: tiles of the vision tower.
        tower_flops: of the vision tower.
        projector_tokens: tokens that the projector runs on.
        left_tokens: per tile, for the `paper` accounting; without tiles, of all images together.
        reducer_flops: capture and reduction.
    """

    tokens: int
    most: int
    tiles: int
    tower_flops: int
    projector_tokens: int
    left_tokens: float
    reducer_flops: int


@dataclass(frozen=True, kw_only=True)
class Text:
    """The text of a sample.

    Attributes:
        prompt: prompt tokens that are not vision.
        prefix: those of them before the first image.
        generated: tokens of the answer.
    """

    prompt: int = 32
    prefix: int = 0
    generated: int = 8

    def __post_init__(self) -> None:
        """Reject impossible counts."""
        if self.prompt < 1 or not 0 <= self.prefix <= self.prompt or self.generated < 1:
            raise ValueError(
                "a prompt of at least one token, a prefix within it and at least one generated token are needed, got "
                f"{self.prompt}, {self.prefix} and {self.generated}"
            )


def for_tokens(backbone: BackboneShape, variant: Variant, vision_tokens: int, text: Text) -> CostRecord:
    """Cost of a sample whose images would be ``vision_tokens`` tokens in the dense model, newlines apart.

    With tiles: whole tiles, the last one cut where the number is no multiple of a tile's tokens; reducers keep the same
    share of it. Without tiles: reducers keep the share that is published for a 27 x 27 tile.

    Raises:
        ValueError: the method changes the image before it is tiled, so that only image sizes tell its cost.
    """
    if any(hasattr(reducer, "prepared_size") for reducer in variant.reducers):
        raise ValueError(f"{variant.label} changes the image's size: its cost follows from image sizes (--images) only")
    if vision_tokens < 1:
        raise ValueError(f"at least one vision token is needed, got {vision_tokens}")
    dense = _shared(backbone, (), vision_tokens)
    method = _shared(backbone, variant.reducers, vision_tokens) if variant.reducers else dense
    return _record(backbone, variant, dense, method, text)


def for_images(
    backbone: BackboneShape, variant: Variant, sizes: Sequence[tuple[int, int]], text: Text, *, most: bool = False
) -> CostRecord:
    """Cost of a sample with images of these sizes, (height, width) in pixels.

    Args:
        backbone: one whose ``images`` says how many tokens an image becomes.
        variant: the method.
        sizes: of all images of the sample; several images get one tile each where there are tiles.
        text: the sample's text.
        most: take the largest number of tokens that a picture of these sizes can leave: the saving is at least this.
    """
    dense = vision_counts(backbone, (), sizes)
    method = vision_counts(backbone, variant.reducers, sizes) if variant.reducers else dense
    return _record(backbone, variant, dense, replace(method, tokens=method.most) if most else method, text)


def vision_counts(
    backbone: BackboneShape, reducers: Sequence[ReducerBudget], sizes: Sequence[tuple[int, int]]
) -> VisionCounts:
    """Tiles and tokens of one sample's images behind ``reducers``."""
    if not sizes:
        return VisionCounts(
            tokens=0, most=0, tiles=0, tower_flops=0, projector_tokens=0, left_tokens=0.0, reducer_flops=0
        )
    for reducer in reducers:
        if hasattr(reducer, "prepared_size"):
            sizes = [reducer.prepared_size(*size) for size in sizes]  # type: ignore[attr-defined]
    images = [_image(backbone, reducers, size, alone=len(sizes) == 1) for size in sizes]
    tiles, left = sum(image.tiles for image in images), sum(image.left_tokens * image.tiles for image in images)
    if backbone.tower is not None:
        left = nominal_tile_tokens(reducers, left / tiles, (backbone.tower.side, backbone.tower.side))
    return VisionCounts(
        tokens=sum(image.tokens for image in images),
        most=sum(image.most for image in images),
        tiles=tiles,
        tower_flops=sum(image.tower_flops for image in images),
        projector_tokens=sum(image.projector_tokens for image in images),
        left_tokens=left,
        reducer_flops=sum(image.reducer_flops for image in images),
    )


def entering_tokens(
    pruner: PrunerBudget | None, backbone: BackboneShape, vision_tokens: int, text: Text, group: str | None = None
) -> tuple[list[int], int]:
    """(vision tokens that enter each layer, FLOPs of choosing them) under a pruner."""
    layers = backbone.decoder.layers
    if pruner is None or not vision_tokens:
        return [vision_tokens] * layers, 0
    stages = pruner.stages(layers, group)
    entering, tokens, flops = [], vision_tokens, 0
    for layer in range(1, layers + 1):
        entering.append(tokens)
        if layer in stages and tokens:
            at = PlannedCounts(
                stage=stages.index(layer),
                group=group,
                decoder=backbone.decoder,
                vision_tokens=tokens,
                initial_vision_tokens=vision_tokens,
                length=text.prompt + tokens,
                text_behind=text.prompt - text.prefix,
            )
            cut: Cut = pruner.cut(at)
            flops += pruner.scoring_flops(at, cut)
            tokens = cut.tokens
    return entering, flops


def _record(
    backbone: BackboneShape, variant: Variant, dense: VisionCounts, method: VisionCounts, text: Text
) -> CostRecord:
    entering, pruner_flops = entering_tokens(variant.pruner, backbone, method.tokens, text, variant.group)
    layers = backbone.decoder.layers
    return cost_record(
        backbone if variant.visor is None else replace(backbone, visor=variant.visor),
        variant.plan(layers, entering),
        prefix_tokens=text.prefix,
        text_tokens=text.prompt,
        tiles=method.tiles,
        generated_tokens=text.generated,
        dense_vision_tokens=dense.tokens,
        configuration=variant.full,
        router=variant.router,
        projector_tokens=method.projector_tokens,
        tower_tiles_flops=method.tower_flops,
        reducer_flops=method.reducer_flops + pruner_flops,
        dense_tiles=dense.tiles,
        dense_tower_tiles_flops=dense.tower_flops,
        dense_projector_tokens=dense.projector_tokens,
        tile_tokens=method.left_tokens,
        vision_tokens=method.tokens,
    )


def _shared(backbone: BackboneShape, reducers: Sequence[ReducerBudget], vision_tokens: int) -> VisionCounts:
    """A number of vision tokens, as whole tiles of which the last may be cut, or as one image without tiles."""
    tower = backbone.tower
    tile_shape = (tower.side, tower.side) if tower else PUBLISHED_TILE
    tile_tokens = tile_shape[0] * tile_shape[1]
    tiles = math.ceil(vision_tokens / tile_tokens) if tower else 1
    left, projected = _left(reducers, tiles, tile_shape)
    scale = vision_tokens / (tiles * tile_tokens)  # of the tokens of whole tiles
    tokens = round(left.tokens * scale)
    per_tile = left.tokens / tiles if tower else left.tokens * vision_tokens / tile_tokens
    return VisionCounts(
        tokens=tokens,
        most=round(left.most * scale),
        tiles=tiles,
        tower_flops=_tower_flops(backbone, tiles, vision_tokens),
        projector_tokens=projected if tower else vision_tokens,
        left_tokens=nominal_tile_tokens(reducers, per_tile, tile_shape),
        reducer_flops=reducing_flops(reducers, backbone, tiles=tiles, tokens=tile_tokens if tower else vision_tokens),
    )


def _image(
    backbone: BackboneShape, reducers: Sequence[ReducerBudget], size: tuple[int, int], *, alone: bool
) -> VisionCounts:
    rule = backbone.images
    if isinstance(rule, NativeResolution):
        return _native_image(backbone, reducers, rule.grid(*size))
    if rule is None or backbone.tower is None:
        raise ValueError(f"{backbone.name}: how images become vision tokens is not known")
    tiles = rule.count(*size).tiles if alone else 1
    left, projected = _left(reducers, tiles, (rule.side, rule.side))
    tokens, most = _laid_out(rule, left, size) if alone else (left.tokens + 1, left.most + 1)  # one newline
    return VisionCounts(
        tokens=tokens,
        most=most,
        tiles=tiles,
        tower_flops=tower_flops(backbone.tower, tiles),
        projector_tokens=projected,
        left_tokens=left.tokens / tiles,
        reducer_flops=reducing_flops(reducers, backbone, tiles=tiles, tokens=rule.side**2),
    )


def _native_image(backbone: BackboneShape, reducers: Sequence[ReducerBudget], grid: TileShape) -> VisionCounts:
    vision_tokens = grid[0] * grid[1]
    left, _ = _left(reducers, 1, grid)
    return VisionCounts(
        tokens=left.tokens,
        most=left.most,
        tiles=1,
        tower_flops=_tower_flops(backbone, 1, vision_tokens),
        projector_tokens=vision_tokens,
        left_tokens=nominal_tile_tokens(reducers, left.tokens, grid),
        reducer_flops=reducing_flops(reducers, backbone, tiles=1, tokens=vision_tokens),
    )


@dataclass(frozen=True)
class _Left:
    """Tokens of one image after all reducers: on a grid per tile, or selected."""

    tiles: int
    shape: TileShape
    selection: Selection | None = None

    @property
    def tokens(self) -> int:
        """Before unpadding, newlines apart."""
        return self.tiles * self.shape[0] * self.shape[1] if self.selection is None else self.selection.tokens

    @property
    def most(self) -> int:
        """The same where the picture is the worst."""
        return self.tokens if self.selection is None else self.selection.most


def _left(reducers: Sequence[ReducerBudget], tiles: int, tile_shape: TileShape) -> tuple[_Left, int]:
    """(what all reducers leave, tokens at the projector)."""
    left = _Left(tiles, tile_shape)
    projected = left.tokens
    for after in (False, True):  # those before the projector run first
        for reducer in reducers:
            if reducer.after_projector is not after:
                continue
            if left.selection is not None:
                raise ValueError("a reducer works on complete grids, but one before it has already selected tokens")
            result = reducer.left(tiles, left.shape)
            left = _Left(tiles, left.shape, result) if isinstance(result, Selection) else _Left(tiles, result)
        if not after:
            projected = left.tokens
    return left, projected


def _laid_out(rule: AnyRes, left: _Left, size: tuple[int, int]) -> tuple[int, int]:
    """(tokens of one image in sequence, the most of them), newlines included: `models/layout.py` in numbers."""
    square = left.shape == (rule.side, rule.side)
    count = rule.count(*size, tile_shape=None if square else left.shape, shrink=left.selection is None)
    chosen = left.selection
    if chosen is None:
        return count.vision_tokens, count.vision_tokens
    whole = (count.tiles - 1) * left.shape[0] * left.shape[1]
    inside = count.rows * count.columns / whole  # share of the canvas that is picture
    kept = chosen.kept[0] + round(sum(chosen.kept[1:]) * inside)
    return kept + sum(chosen.merged) + count.newlines, chosen.most + count.newlines


def _tower_flops(backbone: BackboneShape, tiles: int, vision_tokens: int) -> int:
    if backbone.tower is not None:
        return tower_flops(backbone.tower, tiles)
    return native_tower_flops(backbone.native_tower, vision_tokens) if backbone.native_tower is not None else 0
