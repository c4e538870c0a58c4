"""Run a batch of prompts through every configuration of a tree, depth first, each distinct state once.

At most one unfinished branch per layer at which configurations part is in memory; a branch's caches are freed on the
way up unless the consumer of its leaves keeps them. The LM head is left to the consumer, who can run it on many leaves
at once: at one row it only waits for its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from visor_eval.models.sequence import Batch
from visor_eval.probes.followers import Followers
from visor_eval.probes.prefix_tree import Configuration, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from visor_eval.models.cache import LayerCache
    from visor_eval.models.decoder import Chooser, SparseDecoder
    from visor_eval.models.sequence import Prompt
    from visor_eval.probes.followers import Versions


@dataclass(frozen=True)
class Leaf:
    """One configuration's end of the prefill."""

    index: int  # of the configuration
    last: Tensor  # state of each row's last prompt token, ready for the LM head [rows, dim]
    followers: Tensor | None  # states of the followers, likewise [rows, followers, dim]
    caches: tuple[LayerCache, ...]  # one per layer; empty unless they were asked for


@dataclass
class PrefixSweep:
    """One batch on its way down the tree.

    Attributes:
        decoder: without a pruner.
        prompts: the batch.
        configurations: what to run; any sets of layers.
        versions: each row's followers (reference answers), or None.
        keep_caches: hand every leaf the caches of its way, for decoding.
        chooser: a router to ask on the way, or None.
        routed: each row's configuration by that router, once all leaves have been taken.
    """

    decoder: SparseDecoder
    prompts: Sequence[Prompt]
    configurations: Sequence[Configuration]
    versions: Sequence[Versions] | None = None
    keep_caches: bool = False
    chooser: Chooser | None = None
    routed: list[Configuration] | None = field(default=None, init=False)

    @torch.inference_mode()
    def leaves(self) -> Iterator[Leaf]:
        """Every configuration's end, in the tree's order."""
        ways = list(self.configurations)
        members = list(range(len(ways)))
        batch = Batch(self.prompts, self.decoder.rotary)
        followers = {}
        if self.versions is not None and any(run for runs in self.versions for run in runs):
            followers["answers"] = Followers.of(self.decoder, batch.ends, self.versions, batch.text.states.device)
        if self.chooser is not None and self.chooser.probe_layer is not None:
            assert self.chooser.token is not None
            followers["router"] = Followers.token(self.decoder, batch.ends, self.chooser.token)
            members.append(len(ways))  # the router's way: down to its layer, with the layers that all choices share
            ways.append(self.chooser.shared)
        yield from self._below(members, 1, ways, batch, followers, ())

    def _below(
        self,
        members: Sequence[int],
        number: int,
        ways: Sequence[Configuration],
        batch: Batch,
        followers: dict[str, Followers],
        caches: tuple[LayerCache, ...],
    ) -> Iterator[Leaf]:
        if number > len(self.decoder.layers):
            yield from self._finish(members, batch, followers, caches)
            return
        choices = part(members, number, ways)
        for choice in choices:
            here = batch.fork() if choice is not choices[-1] else batch
            cache = self.decoder.run_layer(number, here, range(len(here)) if choice.full else ())
            probing = len(self.configurations) in choice.members
            after = {
                name: each.through(self.decoder, number, cache)
                for name, each in followers.items()
                if name != "router" or probing
            }
            below = choice.members
            if probing and self.chooser is not None and number == self.chooser.probe_layer:
                self.routed = self.chooser.choose(after.pop("router").states[:, 0], len(here))
                below = tuple(member for member in below if member < len(self.configurations))
            if below:
                kept = (*caches, cache) if self.keep_caches else ()
                del cache
                yield from self._below(below, number + 1, ways, here, after, kept)

    def _finish(
        self,
        members: Sequence[int],
        batch: Batch,
        followers: dict[str, Followers],
        caches: tuple[LayerCache, ...],
    ) -> Iterator[Leaf]:
        norm, answers = self.decoder.language_model.norm, followers.get("answers")
        states = None if answers is None else norm(answers.states)  # type: ignore[operator]
        for member in members:
            yield Leaf(member, norm(batch.last_text()), states, caches)  # type: ignore[operator]
