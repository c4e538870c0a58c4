"""Run a batch of prompts through every configuration of a tree, depth first, each distinct state once.

At most one unfinished branch per layer at which configurations part is in memory; a branch's caches are freed on the
way up unless the consumer of its leaves keeps them. Behind a configuration's last full layer its text runs on alone;
where texts are short, a few configurations do so together, as rows of one batch. The LM head is left to the consumer,
who can run it on many leaves at once: on one row it only waits for its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from visor_eval.models.sequence import Batch
from visor_eval.probes.followers import Followers
from visor_eval.probes.joining import rows_of
from visor_eval.probes.prefix_tree import Configuration, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from visor_eval.models.cache import LayerCache
    from visor_eval.models.decoder import Chooser, SparseDecoder
    from visor_eval.models.sequence import Prompt
    from visor_eval.probes.followers import Versions

TAIL_TOKENS = 256  # text tokens of tails that run together: few tokens only wait for a layer's weights
MOST_TAILS = 4  # so that their vision tokens take no more room than a full layer does


@dataclass(frozen=True)
class Leaf:
    """One configuration's end of the prefill."""

    index: int  # of the configuration
    last: Tensor  # state of each row's last prompt token, ready for the LM head [rows, dim]
    followers: Tensor | None  # states of the followers, likewise [rows, followers, dim]
    caches: tuple[LayerCache, ...]  # one per layer; empty unless they were asked for


@dataclass(frozen=True)
class _Tail:
    """A configuration behind its last full layer: from here on its vision tokens stay as they are."""

    member: int
    layer: int  # the next to run
    batch: Batch
    followers: Followers | None
    caches: tuple[LayerCache, ...]


@dataclass
class PrefixSweep:
    """One batch on its way down the tree.

    Attributes:
        decoder: without a pruner.
        prompts: the batch.
        configurations: what to run; any sets of layers.
        versions: each row's followers (reference answers), or None.
        keep_caches: hand every leaf the caches of its way, for decoding.
        most_tails: configurations whose text-only ends run together; 1: every layer call is that of a run alone.
        chooser: a router to ask on the way, or None.
        routed: each row's configuration by that router, once all leaves have been taken.
    """

    decoder: SparseDecoder
    prompts: Sequence[Prompt]
    configurations: Sequence[Configuration]
    versions: Sequence[Versions] | None = None
    keep_caches: bool = False
    most_tails: int = MOST_TAILS
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
        together = max(1, min(self.most_tails, TAIL_TOKENS // max(1, sum(batch.text_lengths))))
        waiting: list[_Tail] = []
        for tail in self._below(members, 1, ways, batch, followers, ()):
            waiting.append(tail)
            if len(waiting) == together:
                yield from self._finish(waiting)
                waiting = []
        if waiting:
            yield from self._finish(waiting)

    def _below(
        self,
        members: Sequence[int],
        number: int,
        ways: Sequence[Configuration],
        batch: Batch,
        followers: dict[str, Followers],
        caches: tuple[LayerCache, ...],
    ) -> Iterator[_Tail]:
        if len(members) == 1 and "router" not in followers and max(ways[members[0]], default=0) < number:
            yield _Tail(members[0], number, batch, followers.get("answers"), caches)
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

    def _finish(self, tails: Sequence[_Tail]) -> Iterator[Leaf]:
        """Run the layers after each configuration's last full one; they are text only, so tails run as rows of one."""
        rows, batch, followers = len(self.prompts), None, None
        joined: list[_Tail] = []
        caches: list[list[LayerCache]] = []
        for number in range(min(tail.layer for tail in tails), len(self.decoder.layers) + 2):
            new = [tail for tail in tails if tail.layer == number]
            if new:
                joined += new
                caches += [list(tail.caches) for tail in new]
                batch = Batch.stacked([*([batch] if batch else []), *(tail.batch for tail in new)])
                answers = [*([followers] if followers else []), *(tail.followers for tail in new if tail.followers)]
                followers = Followers.stacked(answers) if answers else None
            assert batch is not None
            if number > len(self.decoder.layers):
                break
            cache = self.decoder.run_layer(number, batch, ())
            followers = None if followers is None else followers.through(self.decoder, number, cache)
            if self.keep_caches:
                for place, own in enumerate(caches):
                    own.append(rows_of(cache, place * rows, (place + 1) * rows))
        assert batch is not None
        norm = self.decoder.language_model.norm
        last = norm(batch.last_text())  # type: ignore[operator]
        states = None if followers is None else norm(followers.states)  # type: ignore[operator]
        for place, (tail, own) in enumerate(zip(joined, caches, strict=True)):
            here = slice(place * rows, (place + 1) * rows)
            yield Leaf(tail.member, last[here], None if states is None else states[here], tuple(own))
