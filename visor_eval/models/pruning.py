"""Pruners at work between stock decoder layers: what each sees, when it acts, what its scores cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from visor_eval.core.attention_rows import attention_rows
from visor_eval.core.pruning import Boundary
from visor_eval.errors import SetupError
from visor_eval.models.shapes import decoder_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from visor_eval.core.pruning import Pruned, Pruner
    from visor_eval.models.cache import LayerCache
    from visor_eval.models.sequence import Batch, Row


@dataclass
class _Sample:
    """What is remembered of one row between its stages."""

    group: str | None
    stages: tuple[int, ...]
    start: Row  # what entered the first layer
    vision_tokens: int  # of them
    memory: dict[str, object] = field(default_factory=dict)


class Pruning:
    """One pruner on its way through one batch; without a pruner nothing happens."""

    def __init__(
        self, pruner: Pruner | None, language_model: nn.Module, batch: Batch, groups: Sequence[str | None]
    ) -> None:
        """Ask ``pruner`` for each row's stages; ``batch`` is about to enter the first layer."""
        self.flops = [0] * len(batch)  # per row
        self._pruner = pruner
        self._model = language_model
        self._samples: dict[int, _Sample] = {}
        if pruner is None:
            return
        self._shape = decoder_shape(language_model.config)  # type: ignore[arg-type]
        for row, group in enumerate(groups):
            stages = _checked(pruner.stages(self._shape.layers, group), self._shape.layers)
            if batch.vision_lengths[row] and stages:
                self._samples[row] = _Sample(group, stages, batch.row(row), batch.vision_lengths[row])

    def entering(self, number: int, batch: Batch) -> dict[int, Row]:
        """The rows that are pruned after layer ``number``, as they enter it."""
        return {
            row: batch.row(row)
            for row, sample in self._samples.items()
            if number in sample.stages and batch.vision_lengths[row]
        }

    def after(self, number: int, entering: dict[int, Row], batch: Batch, cache: LayerCache) -> None:
        """Prune those rows, now that layer ``number`` has run on them."""
        if self._pruner is None or not entering:
            return
        (part,) = cache.parts  # every layer is full for every row
        pruned: dict[int, Pruned] = {}
        for row, before in entering.items():
            view = self._boundary(row, number, before, batch, part.past.keys(row))
            pruned[row] = self._pruner.prune(view)
            self.flops[row] += self._pruner.flops(view, pruned[row])
        batch.prune(pruned, renumber=self._pruner.positions == "renumber")

    def _boundary(self, row: int, number: int, before: Row, batch: Batch, keys: Tensor) -> Boundary:
        sample, after, layers = self._samples[row], batch.row(row), self._model.layers
        return Boundary(
            stage=sample.stages.index(number),
            group=sample.group,
            decoder=self._shape,
            before=before.states,
            after=after.states,
            positions=before.positions,
            vision=before.vision,
            vision_tokens=batch.vision_lengths[row],
            initial_vision_tokens=sample.vision_tokens,
            embeddings=sample.start.states,
            embeddings_vision=sample.start.vision,
            memory=sample.memory,
            attention_rows=partial(self._rows, layers[number - 1], before, keys),  # type: ignore[index]
            next_attention_rows=partial(self._rows, layers[number], after, None),  # type: ignore[index]
        )

    def _rows(self, layer: nn.Module, entering: Row, keys: Tensor | None, queries: Tensor) -> Tensor:
        """[heads, queries, length] of ``layer``; ``keys`` where it has run and cached them."""
        attention = layer.self_attn
        if keys is None:
            keys = self._rotated(layer, attention.k_proj, entering.states, entering.positions)  # type: ignore[union-attr]
        states, positions = entering.states[queries], entering.positions[queries]
        rotated = self._rotated(layer, attention.q_proj, states, positions)  # type: ignore[union-attr]
        return attention_rows(rotated, keys, queries, attention.scaling)  # type: ignore[union-attr, arg-type]

    def _rotated(self, layer: nn.Module, projection: nn.Module, states: Tensor, positions: Tensor) -> Tensor:
        """The layer's own norm and projection, then rotary positions: [n, dim] -> [heads, n, head_dim]."""
        heads = projection(layer.input_layernorm(states)).unflatten(-1, (-1, self._shape.head_dim))  # type: ignore[operator]
        heads = heads.transpose(0, 1)[None]
        cos, sin = self._model.rotary_emb(states, positions[None])  # type: ignore[operator]
        return apply_rotary_pos_emb(heads, heads, cos, sin)[0][0]


def check(pruner: Pruner, layers: int) -> None:
    """Refuse a pruner that cannot act in a decoder of ``layers`` layers, before the first sample.

    Raises:
        SetupError: what the pruner says, or stages outside the decoder.
    """
    try:
        for group in (None, "easy", "hard"):
            _checked(pruner.stages(layers, group), layers)
    except ValueError as error:
        raise SetupError(f"--model_args: {error}") from error


def _checked(stages: tuple[int, ...], layers: int) -> tuple[int, ...]:
    if list(stages) != sorted(set(stages)) or any(not 1 <= stage < layers for stage in stages):
        raise ValueError(f"pruning stages must ascend within 1..{layers - 1} of {layers} layers, got {stages}")
    return stages
