"""One decoder for every layer plan: the stock layers, each run on the tokens that its plan gives it.

Nothing here belongs to one method. A method says which layers are full for which row (``Chooser``) and, if text reads
vision in other layers, how (``Reader``); dense is the plan in which every layer is full.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from visor_eval.models.cache import CachePart, KeyValues, LayerCache
from visor_eval.models.pruning import Pruning
from visor_eval.models.sequence import Batch, Lane, Prompt, Rotary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from visor_eval.core.pruning import Pruner

Configuration = tuple[int, ...]  # full layers, from 1


class Reader(Protocol):
    """How text reads vision tokens in a layer that does not process them."""

    def prefill(
        self, layer: nn.Module, text: Lane, vision: Lane, batch: Batch, past: KeyValues
    ) -> tuple[Tensor, object]:
        """Run ``layer`` for the text tokens and let them read; return the text states and what decode needs."""
        ...

    def step(self, layer: nn.Module, states: Tensor, rotary: Rotary, past: KeyValues, memory: object) -> Tensor:
        """The same for one new token per row [rows, 1, dim]."""
        ...


class Chooser(Protocol):
    """Says which layers are full, row by row."""

    @property
    def shared(self) -> Configuration:
        """Layers that are full for every row, as far as they come before any choice."""
        ...

    @property
    def probe_layer(self) -> int | None:
        """The choice is made after this layer, on the state of an appended token; None: no choice is made."""
        ...

    @property
    def token(self) -> Tensor | None:
        """Embedding of that token [dim]."""
        ...

    def choose(self, states: Tensor | None, rows: int) -> list[Configuration]:
        """Configurations of all rows, given the appended token's states [rows, dim] (None without a probe layer)."""
        ...


@dataclass(frozen=True)
class FixedChoice:
    """The same configuration for every row."""

    shared: Configuration
    probe_layer: int | None = None
    token: Tensor | None = None

    def choose(self, states: Tensor | None, rows: int) -> list[Configuration]:
        """Repeat it."""
        return [self.shared] * rows


@dataclass
class Decoding:
    """A batch between two decode steps."""

    logits: Tensor  # of the next token [batch, vocab]
    positions: Tensor  # of the next token [batch]
    configurations: list[Configuration]
    layers: list[LayerCache] = field(default_factory=list)
    vision_lengths: list[tuple[int, ...]] = field(default_factory=list)  # per row: vision tokens left at each layer
    pruning_flops: list[int] = field(default_factory=list)  # per row: matrix products of all pruning scores

    @property
    def kv_bytes(self) -> int:
        """Bytes held by all layers: keys, values and what readers keep, padding included."""
        return sum(layer.kv_bytes for layer in self.layers)


class SparseDecoder:
    """Runs the layers of a Qwen2-like language model under a plan."""

    def __init__(
        self,
        language_model: nn.Module,
        lm_head: nn.Module,
        readers: Mapping[int, Reader] | None = None,
        pruner: Pruner | None = None,
    ) -> None:
        """Borrow the stock modules; ``readers`` by layer number, from 1; a ``pruner`` needs every layer to be full."""
        self.language_model = language_model
        self.layers: Sequence[nn.Module] = list(language_model.layers)  # type: ignore[arg-type]
        self.lm_head = lm_head
        self.readers = dict(readers or {})
        self.pruner = pruner

    @property
    def modules(self) -> list[nn.Module]:
        """Layers and what readers add to them: everything that runs once per layer."""
        blocks = [getattr(reader, "block", None) for reader in self.readers.values()]
        return [*self.layers, *(block for block in blocks if isinstance(block, nn.Module))]

    def rotary(self, states: Tensor, positions: Tensor) -> Rotary:
        """Cos and sin for positions [batch, length]."""
        return self.language_model.rotary_emb(states, positions)  # type: ignore[operator]

    def prefill(
        self, prompts: Sequence[Prompt], chooser: Chooser, groups: Sequence[str | None] | None = None
    ) -> Decoding:
        """Run a padded batch of prompts up to the logits of their first new token.

        Args:
            prompts: one per row.
            chooser: says which layers are full.
            groups: each row's task group, for pruners whose schedule depends on it; default: none.
        """
        if self.pruner is not None and len(chooser.shared) < len(self.layers):
            raise ValueError("a pruner needs every layer to process the vision tokens; sparse plans cannot have one")
        if chooser.token is not None:
            prompts = [_with_token(prompt, chooser.token) for prompt in prompts]
        batch = Batch(prompts, self.rotary)
        configurations: list[Configuration] = [chooser.shared] * len(batch)
        pruning = Pruning(self.pruner, self.language_model, batch, groups or [None] * len(batch))
        caches: list[LayerCache] = []
        vision_lengths = []
        for number in range(1, len(self.layers) + 1):
            vision_lengths.append(batch.vision_lengths)
            entering = pruning.entering(number, batch)
            full = [row for row, configuration in enumerate(configurations) if number in configuration]
            caches.append(self.run_layer(number, batch, full))
            caches[-1].behind = batch.behind
            pruning.after(number, entering, batch, caches[-1])
            if number == chooser.probe_layer:
                configurations = chooser.choose(batch.last_text(), len(batch))
                self._drop_probe(batch, caches)
        logits = self.next_logits(batch)
        return Decoding(
            logits=logits,
            positions=torch.tensor(batch.ends, device=logits.device),
            configurations=configurations,
            layers=caches,
            vision_lengths=list(zip(*vision_lengths, strict=True)),
            pruning_flops=pruning.flops,
        )

    def run_layer(self, number: int, batch: Batch, full: Sequence[int]) -> LayerCache:
        """Take ``batch`` through one layer: the rows ``full`` text and vision together, the others their text alone.

        Args:
            number: the layer, from 1.
            batch: changed in place.
            full: rows, ascending.
        """
        layer = self.layers[number - 1]
        if len(full) == len(batch):
            return LayerCache([_run_full(layer, batch, None, None)])
        parts = []
        if full:
            parts.append(_run_full(layer, batch, torch.tensor(full, device=batch.text.states.device), full))
        chosen = set(full)
        rest = [row for row in range(len(batch)) if row not in chosen]
        narrow = batch if not full else batch.select(rest)
        part = self._run_text(number, layer, narrow)
        if full:
            part.rows = torch.tensor(rest, device=narrow.text.states.device)
            batch.set_text(narrow.text.states, part.rows)
        return LayerCache([*parts, part])

    def next_logits(self, batch: Batch) -> Tensor:
        """Logits of each row's next token, every layer having run [batch, vocab]."""
        return self.lm_head(self.language_model.norm(batch.last_text()))  # type: ignore[operator]

    def _run_text(self, number: int, layer: nn.Module, batch: Batch) -> CachePart:
        past, text, reader = KeyValues(), batch.text, self.readers.get(number)
        part = CachePart(None, past)
        if reader is not None and any(batch.vision_lengths):
            states, part.memory = reader.prefill(layer, text, batch.vision, batch, past)
            part.reads = True
        else:
            states = layer(text.states, attention_mask=None, position_embeddings=text.rotary, past_key_values=past)
            past.keep(text.lengths)
        batch.set_text(states)
        return part

    @staticmethod
    def _drop_probe(batch: Batch, caches: Sequence[LayerCache]) -> None:
        """Take the probe token out of the batch and of every cache filled so far."""
        for cache in caches:
            for part in cache.parts:
                part.past.drop_last()
        batch.drop_last_text()

    def decode(self, token_ids: Tensor, state: Decoding) -> Decoding:
        """One more token per row [batch]; ``state`` is consumed."""
        states = self.language_model.embed_tokens(token_ids)[:, None]  # type: ignore[operator]
        behind = None
        cos, sin = self.rotary(states, state.positions[:, None])
        for number, cache in enumerate(state.layers, 1):
            if cache.behind is not None and cache.behind is not behind:
                behind = cache.behind
                cos, sin = self.rotary(states, (state.positions - behind)[:, None])
            for part in cache.parts:
                if part.rows is None:
                    states = self.step_layer(number, states, (cos, sin), part)
                else:
                    rotary = (cos[part.rows], sin[part.rows])
                    stepped = self.step_layer(number, states[part.rows], rotary, part)
                    states = states.index_copy(0, part.rows, stepped)
        logits = self.lm_head(self.language_model.norm(states[:, 0]))  # type: ignore[operator]
        return replace(state, logits=logits, positions=state.positions + 1)

    def step_layer(self, number: int, states: Tensor, rotary: Rotary, part: CachePart) -> Tensor:
        """Take new tokens [rows, n, dim] of the rows of ``part`` through layer ``number``, from 1.

        They see what ``part.past`` lets them see (``next_mask``, ``update``); decode has n = 1.
        """
        layer = self.layers[number - 1]
        if part.reads:
            return self.readers[number].step(layer, states, rotary, part.past, part.memory)
        return run_step(layer, states, rotary, part.past)


def run_step(layer: nn.Module, states: Tensor, rotary: Rotary, past: KeyValues) -> Tensor:
    """The stock layer on one new token per row [rows, 1, dim]."""
    return layer(states, attention_mask=past.next_mask(), position_embeddings=rotary, past_key_values=past)


def _run_full(layer: nn.Module, batch: Batch, rows: Tensor | None, numbers: Sequence[int] | None) -> CachePart:
    merged, past = batch.merged(rows, numbers), KeyValues()
    states = layer(merged.states, attention_mask=None, position_embeddings=merged.rotary, past_key_values=past)
    past.keep(merged.lengths)
    batch.set_merged(states, rows)
    return CachePart(rows, past)


def _with_token(prompt: Prompt, token: Tensor) -> Prompt:
    end = prompt.text_positions.new_tensor([prompt.length])
    return Prompt(
        text=torch.cat([prompt.text, token[None].to(prompt.text)]),
        vision=prompt.vision,
        text_positions=torch.cat([prompt.text_positions, end]),
        vision_positions=prompt.vision_positions,
        image_lengths=prompt.image_lengths,
    )
