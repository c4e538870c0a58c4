"""Golden vectors of the methods before the decoder (tests/goldens/README_encoder.md), and tokens to try methods on."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from visor_eval.core.tokens import ReducedTokens, VisionTokens

GOLDENS = Path(__file__).parents[1] / "goldens"


@dataclass(frozen=True)
class Golden:
    """One case: its tensors and what its header says."""

    tensors: dict[str, Tensor]
    meta: dict

    @property
    def params(self) -> dict:
        return self.meta["params"]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def load(path: Path) -> Golden:
    with safe_open(path, "pt") as file:
        return Golden({key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["json"]))  # noqa: SIM118


def golden_cases(method: str):
    """Every file of a method, as parameters."""
    paths = sorted((GOLDENS / method).glob("*.safetensors"))
    assert paths, f"no goldens of {method}"
    return pytest.mark.parametrize("golden", [pytest.param(load(path), id=path.stem) for path in paths])


def tokens_of(features: Tensor, **others) -> VisionTokens:
    """Tiles of goldens; the grid of tiles does not matter unless it is given."""
    count = features.shape[1]
    rows = next(side for side in range(int(count**0.5), 0, -1) if count % side == 0)
    default = {"tile_shape": (rows, count // rows), "grid": (1, max(1, len(features) - 1)), "image_size": (384, 384)}
    return VisionTokens(features=features, **{**default, **others})


def random_tokens(grid=(2, 2), tile_shape=(27, 27), dim=24, key_dim=8, seed=0, constant=False) -> VisionTokens:
    """What the tower would hand over: thumbnail and sub-tiles, everything captured."""
    generator = torch.Generator().manual_seed(seed)
    tiles, count = 1 if grid is None else 1 + grid[0] * grid[1], tile_shape[0] * tile_shape[1]

    def draw(*shape):
        return torch.full(shape, 0.5) if constant else torch.randn(*shape, generator=generator)

    scores = torch.softmax(draw(tiles, count), dim=1)
    return VisionTokens(
        features=draw(tiles, count, dim),
        tile_shape=tile_shape,
        grid=grid,
        image_size=(384 * (grid or (1, 1))[0], 384 * (grid or (1, 1))[1]),
        scores=scores,
        keys=draw(tiles, count, key_dim),
        first_scores=torch.softmax(draw(count), dim=0),
        fingerprint=seed,
    )


def one_tile(tokens: VisionTokens, tile: int) -> VisionTokens:
    """The same tile as an image of its own."""
    return VisionTokens(
        features=tokens.features[tile : tile + 1],
        tile_shape=tokens.tile_shape,
        grid=None,
        image_size=tokens.image_size,
        scores=tokens.scores[tile : tile + 1],
        keys=tokens.keys[tile : tile + 1],
        first_scores=tokens.first_scores,
        fingerprint=tokens.fingerprint,
    )


def kept_of(reduced: ReducedTokens, tile: int) -> list[int]:
    """Positions of a tile's unmerged tokens, in the order that they are packed."""
    return reduced.position[(reduced.tile == tile) & ~reduced.merged].tolist()
