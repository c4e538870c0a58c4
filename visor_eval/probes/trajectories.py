"""Vision tokens on their way through the decoder: what each layer leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from visor_eval.models.decoder import SparseDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from visor_eval.models.cache import LayerCache
    from visor_eval.models.decoder import Chooser, Configuration
    from visor_eval.models.sequence import Batch, Prompt


@dataclass
class Trajectory:
    """One sample's vision states. State 0 enters the decoder, state k is what layer k leaves."""

    configuration: Configuration  # layers, from 1, that processed the vision tokens
    distinct: list[Tensor]  # each different state once [tokens, dim]
    states: list[int]  # for state 0..layers its index in ``distinct``


class WatchedDecoder(SparseDecoder):
    """A sparse decoder that remembers the vision tokens after every layer that changes them."""

    def __init__(self, decoder: SparseDecoder) -> None:
        """Borrow everything of ``decoder``.

        Raises:
            ValueError: it prunes; states of different tokens cannot be compared.
        """
        if decoder.pruner is not None:
            raise ValueError("a pruner removes vision tokens between layers: its states hold different tokens")
        super().__init__(decoder.language_model, decoder.lm_head, decoder.readers)
        self._watched: list[Trajectory] = []

    def watch(self, prompts: Sequence[Prompt], chooser: Chooser) -> list[Trajectory]:
        """Prefill ``prompts`` and return each one's vision states."""
        self._watched = watched = [Trajectory((), [prompt.vision], [0]) for prompt in prompts]
        configurations = self.prefill(prompts, chooser).configurations
        for trajectory, configuration in zip(watched, configurations, strict=True):
            trajectory.configuration = configuration
        return watched

    def run_layer(self, number: int, batch: Batch, full: Sequence[int]) -> LayerCache:
        """As every decoder, and keep what the rows ``full`` made of their vision tokens."""
        cache = super().run_layer(number, batch, full)
        changed = set(full)
        states = batch.vision.states if changed else None
        for row, trajectory in enumerate(self._watched):
            if states is not None and row in changed:
                trajectory.distinct.append(states[row, : batch.vision_lengths[row]])
            trajectory.states.append(len(trajectory.distinct) - 1)
        return cache
