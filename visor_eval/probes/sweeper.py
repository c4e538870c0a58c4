"""All configurations of one model on a batch of questions: scores, answers and costs from one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from visor_eval.models.generation import Limits, generate, until_stop
from visor_eval.probes.joining import cache_bytes, joined
from visor_eval.probes.prefix_sweep import PrefixSweep
from visor_eval.probes.teacher import Match, Reference, real_followers, reference, teacher_forced, versions
from visor_eval.records import Accounting, ConfigurationResult, CostRecord
from visor_eval.records.cost_record import DECODER_COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visor_eval.models.encoded import EncodedImages
    from visor_eval.models.engine import Engine, Request
    from visor_eval.models.sequence import Prompt
    from visor_eval.probes.prefix_sweep import Leaf
    from visor_eval.probes.prefix_tree import Configuration

HEAD_ROWS = 512  # that go through the LM head together, one per sample and configuration
JOINED_BYTES = 256 << 20  # of keys and values that are decoded together; they are copied once for it


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep found out about one question."""

    results: tuple[ConfigurationResult, ...]  # in the order of the configurations; task scores not filled in
    reference_tokens: tuple[int, ...]  # of each reference, end token included
    routed: Configuration | None  # the router's choice
    cost: CostRecord  # of the first configuration, for what all of them share
    router_flops: int
    router_flops_causal: int


class Sweeper:
    """An engine's model under a set of configurations."""

    def __init__(self, engine: Engine, configurations: Sequence[Configuration], *, answers: bool = True) -> None:
        """Prepare.

        Args:
            engine: VISOR or visor-zero, with any reducers before the decoder; without a pruner.
            configurations: what to run; also sets of layers that the model was not trained for.
            answers: generate every configuration's answer too; else only the oracle's scores are found.
        """
        if engine.decoder.pruner is not None:
            raise ValueError("a pruner needs every layer to be full; there is nothing to sweep")
        if not configurations:
            raise ValueError("a sweep needs at least one configuration")
        self.engine = engine
        self.configurations = tuple(configurations)
        self.answers = answers
        self._costs: dict[tuple[object, ...], CostRecord] = {}

    @torch.inference_mode()
    def sweep(self, requests: Sequence[Request], references: Sequence[Sequence[str]]) -> list[Swept]:
        """Run one batch; sizes and numbers of images may be mixed.

        Args:
            requests: the questions.
            references: accepted answers of each, at least one.
        """
        engine = self.engine
        prompts, images = engine.read(requests)
        accepted = [self._references(request, texts) for request, texts in zip(requests, references, strict=True)]
        walk = PrefixSweep(
            engine.decoder,
            prompts,
            self.configurations,
            versions=versions(accepted),
            keep_caches=self.answers,
            chooser=engine.chooser if engine.chooser.probe_layer is not None else None,
        )
        matches: dict[int, list[Match]] = {}
        rows: dict[int, list[tuple[int, ...]]] = {}
        waiting: list[Leaf] = []
        for leaf in walk.leaves():
            waiting.append(leaf)
            full = len(waiting) * len(requests) >= HEAD_ROWS
            if full or (self.answers and len(waiting) * cache_bytes(leaf) >= JOINED_BYTES):
                self._finish(waiting, prompts, requests, accepted, matches, rows)
                waiting = []
        if waiting:
            self._finish(waiting, prompts, requests, accepted, matches, rows)
        return [
            Swept(
                results=tuple(
                    self._result(
                        request,
                        prompt,
                        encoded,
                        index,
                        matches[index][number],
                        accepted[number],
                        rows[index][number] if self.answers else None,
                    )
                    for index in range(len(self.configurations))
                ),
                reference_tokens=tuple(len(each.tokens) for each in accepted[number]),
                routed=None if walk.routed is None else walk.routed[number],
                cost=self._cost(request, prompt, encoded, self.configurations[0], 0),
                **self._router_flops(request, prompt, encoded, None if walk.routed is None else walk.routed[number]),
            )
            for number, (request, prompt, encoded) in enumerate(zip(requests, prompts, images, strict=True))
        ]

    def _references(self, request: Request, texts: Sequence[str]) -> list[Reference]:
        """Each text as the assistant would have to say it."""
        backbone = self.engine.backbone
        tokenizer = backbone.processor.tokenizer
        limits = _limits(request)
        return [
            reference(
                tokenizer(text, add_special_tokens=False)["input_ids"],  # type: ignore[operator]
                tokenizer.eos_token_id,
                limits,
                backbone.decode,
            )
            for text in texts
        ]

    def _finish(
        self,
        leaves: Sequence[Leaf],
        prompts: Sequence[Prompt],
        requests: Sequence[Request],
        references: Sequence[Sequence[Reference]],
        matches: dict[int, list[Match]],
        rows: dict[int, list[tuple[int, ...]]],
    ) -> None:
        """Score some leaves and generate their answers, with one pass of the LM head; fills the last two arguments."""
        lm_head, count = self.engine.backbone.lm_head, len(requests)
        logits = lm_head(torch.cat([leaf.last for leaf in leaves]))
        first = logits.argmax(dim=-1).tolist()
        following: list[list[int]] = [[] for _ in leaves]
        if leaves[0].followers is not None:
            real = real_followers(references, leaves[0].followers.shape[1]).to(logits.device)
            states = torch.stack([leaf.followers[real] for leaf in leaves if leaf.followers is not None])
            following = lm_head(states).argmax(dim=-1).tolist()
        for place, leaf in enumerate(leaves):
            own = first[place * count : (place + 1) * count]
            matches[leaf.index] = teacher_forced(own, following[place], references)
        if not self.answers:
            return
        backbone = self.engine.backbone
        found = generate(
            self.engine.decoder,
            joined(leaves, logits, [prompt.length for prompt in prompts], self.configurations),
            [_limits(request) for request in requests] * len(leaves),
            end_tokens=backbone.end_tokens,
            decode_text=backbone.decode,
        )
        for place, leaf in enumerate(leaves):
            rows[leaf.index] = found[place * count : (place + 1) * count]

    def _result(
        self,
        request: Request,
        prompt: Prompt,
        images: EncodedImages,
        index: int,
        match: Match,
        references: Sequence[Reference],
        tokens: tuple[int, ...] | None,
    ) -> ConfigurationResult:
        configuration = self.configurations[index]
        cost = self._cost(request, prompt, images, configuration, len(tokens or ()))
        return ConfigurationResult(
            configuration=configuration,
            matched=match.matched,
            reference_tokens=len(references[match.reference].tokens),
            answer=None if tokens is None else self._text(tokens, request),
            generated_tokens=len(tokens or ()),
            score=None,
            prefill_flops=int(cost.total(Accounting.EXACT)),
            prefill_flops_causal=int(cost.total(Accounting.EXACT, causal=True)),
            decode_flops=cost.decode.total(),
            dense_decode_flops=cost.dense_decode.total(),
            nominal=cost.nominal,
        )

    def _text(self, tokens: Sequence[int], request: Request) -> str:
        return until_stop(self.engine.backbone.decode(tokens), request.stop).strip()

    def _cost(
        self,
        request: Request,
        prompt: Prompt,
        images: EncodedImages,
        configuration: Configuration,
        generated_tokens: int,
        *,
        router: bool = False,
    ) -> CostRecord:
        """As the engine counts it; questions of equal sizes are counted once."""
        key = (
            *(prompt.prefix_tokens, len(prompt.text_positions), len(prompt.vision_positions)),
            *(images.tiles, images.projector_tokens, images.tile_tokens, images.reducer_flops),
            *(tuple(image.size for image in request.images), configuration, generated_tokens, router),
        )
        if key not in self._costs:
            self._costs[key] = self.engine.cost(
                request,
                prompt,
                images,
                configuration=configuration,
                vision_lengths=[len(prompt.vision_positions)] * len(self.engine.decoder.layers),
                generated_tokens=generated_tokens,
                router=router,
            )
        return self._costs[key]

    def _router_flops(
        self, request: Request, prompt: Prompt, images: EncodedImages, routed: Configuration | None
    ) -> dict[str, int]:
        if routed is None:
            return {"router_flops": 0, "router_flops_causal": 0}
        flops = self._cost(request, prompt, images, routed, 0, router=True).prefill
        return {"router_flops": flops.router, "router_flops_causal": flops.router_causal}


def encode_flops(cost: CostRecord, *, dense: bool = False) -> int:
    """Prefill FLOPs outside the decoder: tower, projector and reducers."""
    flops = cost.dense_prefill if dense else cost.prefill
    return flops.total() - flops.total(DECODER_COMPONENTS)


def _limits(request: Request) -> Limits:
    return Limits(max_new_tokens=request.max_new_tokens, stop=request.stop)
