"""What reducers need to know of the vision tower's attention, without an attention map of the tower.

Queries and keys of one block are caught while the tower runs with SDPA; scores follow from them in float32, one tile
after the other.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from visor_eval.core.similarity import received_attention

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from visor_eval.core.tokens import Need


@dataclass
class Caught:
    """Projections of one attention block."""

    heads: int
    scale: float
    queries: Tensor | None = None  # q_proj's output [tiles, tokens, width]
    keys: Tensor | None = None

    def scores(self, tiles: slice = slice(None)) -> Tensor:
        """Attention that each token receives, mean over heads and queries [tiles, tokens]."""
        return received_attention(self._by_head(self.queries)[tiles], self._by_head(self.keys)[tiles], self.scale)

    def mean_keys(self, tiles: slice = slice(None)) -> Tensor:
        """Keys averaged over heads, unscaled, float32 [tiles, tokens, head_dim]."""
        return self._by_head(self.keys)[tiles].float().mean(dim=1)

    def _by_head(self, projected: Tensor | None) -> Tensor:
        assert projected is not None, "the block has not run"
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@dataclass
class TowerCapture:
    """Catches what ``needs`` asks for in the last used block (and in block 0)."""

    needs: frozenset[Need]
    last: Caught | None = None
    first: Caught | None = None

    @contextmanager
    def watching(self, blocks: Sequence[nn.Module]) -> Iterator[None]:
        """Hook the projections of the first and last of the used ``blocks`` for the time of one tower pass."""
        with ExitStack() as stack:
            if self.needs & {"scores", "keys"}:
                self.last = stack.enter_context(_catch(blocks[-1].self_attn))  # type: ignore[arg-type]
            if "first_scores" in self.needs:
                self.first = stack.enter_context(_catch(blocks[0].self_attn))  # type: ignore[arg-type]
            yield

    def of_image(self, tiles: slice) -> dict[str, Tensor]:
        """The wanted fields of ``VisionTokens`` for one image's tiles."""
        wanted = {}
        if self.last is not None and "scores" in self.needs:
            wanted["scores"] = self.last.scores(tiles)
        if self.last is not None and "keys" in self.needs:
            wanted["keys"] = self.last.mean_keys(tiles)
        if self.first is not None:
            wanted["first_scores"] = self.first.scores(slice(tiles.start, tiles.start + 1))[0]
        return wanted


@contextmanager
def _catch(attention: nn.Module) -> Iterator[Caught]:
    caught = Caught(attention.num_heads, attention.scale)  # type: ignore[arg-type]

    def keep(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            setattr(caught, name, output)

        return hook

    handles = [
        attention.q_proj.register_forward_hook(keep("queries")),  # type: ignore[union-attr, arg-type]
        attention.k_proj.register_forward_hook(keep("keys")),  # type: ignore[union-attr, arg-type]
    ]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()
