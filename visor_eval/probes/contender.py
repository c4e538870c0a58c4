"""One method on one image, phase by phase, through the functions that the engine itself runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from visor_eval.cost.flops import projector_flops, tower_flops
from visor_eval.cost.sample import SampleCost, sample_cost
from visor_eval.models.decoder import Decoding
from visor_eval.models.encoded import EncodedImage, EncodedImages, TiledImage
from visor_eval.records import DECODER_COMPONENTS
from visor_eval.records.bench import BenchEntry, Phase, PhaseTiming

if TYPE_CHECKING:
    from visor_eval.models.capture import TowerCapture
    from visor_eval.models.decoder import Configuration
    from visor_eval.models.engine import Engine
    from visor_eval.models.sequence import Prompt
    from visor_eval.probes.stopwatch import Stopwatch

Seen = tuple[Tensor, "TowerCapture"]  # what the tower made of an image


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every contender is given."""

    dense_vision_tokens: int
    token_ids: Tensor  # one placeholder for the image, text behind it [n]
    batch_size: int
    decode_steps: int
    whole: bool  # the tower is timed too


class Ran(NamedTuple):
    """What one round left behind, of the first row."""

    encoded: EncodedImages
    prompt: Prompt
    state: Decoding  # after the last decode step


@dataclass
class Contender:
    """A method, and what it was timed at."""

    method: str
    configuration: Configuration | None
    engine: Engine
    image: TiledImage
    workload: Workload
    seen: Seen | None = None  # the tower's output for the batch, where the tower itself is not timed
    seconds: dict[Phase, list[float]] = field(default_factory=dict)
    peak_bytes: int | None = None
    _ran: Ran | None = None  # the last round

    def warm_up(self, watch: Stopwatch) -> None:
        """Everything once, untimed; how much memory prefill and decode hold is measured on the way."""
        engine, images = self.engine, [self.image] * self.workload.batch_size
        seen = self.seen or self._tower(images)
        laid = engine.backbone.lay_out(
            images, engine.backbone.project(engine.backbone.gather(images, *seen, engine.reduction)), engine.reduction
        )
        prompts = self._prompts(laid)
        self.peak_bytes = watch.peak_bytes(lambda: self._decode(self._prefill(prompts)))

    def run(self, watch: Stopwatch) -> None:
        """Everything once, timed."""
        engine, images = self.engine, [self.image] * self.workload.batch_size
        backbone = engine.backbone
        took: dict[Phase, float] = {}
        if self.seen is None:
            seen, took[Phase.TOWER] = watch.time(lambda: self._tower(images))
        else:
            seen = self.seen
        tokens, before = watch.time(lambda: backbone.gather(images, *seen, engine.reduction))
        projected, took[Phase.PROJECTOR] = watch.time(lambda: backbone.project(tokens))
        laid, after = watch.time(lambda: backbone.lay_out(images, projected, engine.reduction))
        took[Phase.REDUCER] = before + after
        prompts = self._prompts(laid)
        state, took[Phase.PREFILL] = watch.time(lambda: self._prefill(prompts))
        state, decoding = watch.time(lambda: self._decode(state))
        if self.workload.whole:
            took[Phase.END_TO_END] = sum(took.values()) + decoding
        took[Phase.DECODE] = decoding / self.workload.decode_steps
        self._ran = Ran(EncodedImages.join(laid[:1]), prompts[0], state)
        for phase, seconds in took.items():
            self.seconds.setdefault(phase, []).append(seconds)

    def entry(self) -> BenchEntry:
        """What was measured, beside the closed form."""
        assert self._ran is not None
        encoded, prompt, state = self._ran
        cost = self._cost(encoded, prompt, state)
        return BenchEntry(
            method=self.method,
            configuration=self.configuration,
            dense_vision_tokens=self.workload.dense_vision_tokens,
            vision_tokens=len(prompt.vision_positions),
            timings=tuple(
                PhaseTiming(phase=phase, seconds=tuple(seconds), flops=flops, flops_causal=causal)
                for phase, seconds in sorted(self.seconds.items(), key=lambda item: list(Phase).index(item[0]))
                for flops, causal in [self._flops(phase, cost, encoded, state)]
            ),
            kv_cache_bytes=cost.kv_cache_bytes * self.workload.batch_size,
            kv_cache_bytes_held=self._kv_bytes(state),
            peak_bytes=self.peak_bytes,
        )

    def _tower(self, images: list[TiledImage]) -> Seen:
        pixels = torch.cat([image.pixels for image in images])
        return self.engine.backbone.tower(pixels, self.engine.reduction.needs)

    def _prompts(self, laid: list[EncodedImage]) -> list[Prompt]:
        return [self.engine.backbone.prompt(self.workload.token_ids, [image.sequence]) for image in laid]

    def _prefill(self, prompts: list[Prompt]) -> Decoding:
        return self.engine.decoder.prefill(prompts, self.engine.chooser)

    def _decode(self, state: Decoding) -> Decoding:
        for _ in range(self.workload.decode_steps):
            state = self.engine.decoder.decode(state.logits.argmax(dim=-1), state)
        return state

    def _kv_bytes(self, state: Decoding) -> int:
        return state.kv_bytes

    def _cost(self, encoded: EncodedImages, prompt: Prompt, state: Decoding) -> SampleCost:
        engine = self.engine
        return sample_cost(
            engine.shape,
            engine.plan(state.configurations[0], state.vision_lengths[0]),
            prefix_tokens=prompt.prefix_tokens,
            text_tokens=len(prompt.text_positions),
            tiles=encoded.tiles,
            generated_tokens=self.workload.decode_steps + 1,
            router=engine.chooser.probe_layer is not None,
            projector_tokens=encoded.projector_tokens,
            reducer_flops=encoded.reducer_flops,
            dtype_bytes=engine.backbone.model.dtype.itemsize,
        )

    def _flops(self, phase: Phase, cost: SampleCost, encoded: EncodedImages, state: Decoding) -> tuple[int, int]:
        """FLOPs of the whole batch: (all pairs asked for, pairs that the causal mask lets through)."""
        shape, rows, steps = self.engine.shape, self.workload.batch_size, self.workload.decode_steps
        pruning = state.pruning_flops[0] if state.pruning_flops else 0
        both = []
        for causal in (False, True):
            prefill = cost.prefill.total(DECODER_COMPONENTS, causal=causal) + pruning
            decode = cost.decode.total(causal=causal)
            both.append(
                rows
                * {
                    Phase.TOWER: tower_flops(shape.tower, encoded.tiles) if shape.tower else 0,
                    Phase.REDUCER: encoded.reducer_flops,
                    Phase.PROJECTOR: projector_flops(shape.projector, encoded.projector_tokens)
                    if shape.projector
                    else 0,
                    Phase.PREFILL: prefill,
                    Phase.DECODE: decode // steps,
                    Phase.END_TO_END: cost.prefill.total(causal=causal) + pruning + decode,
                }[phase]
            )
        return both[0], both[1]


@dataclass
class StockForward(Contender):
    """transformers' own forward of the same model, on the same embeddings."""

    def _prefill(self, prompts: list[Prompt]) -> Decoding:
        order = torch.cat([prompts[0].text_positions, prompts[0].vision_positions]).argsort()
        embeddings = torch.stack([torch.cat([prompt.text, prompt.vision])[order] for prompt in prompts])
        out = self.engine.backbone.model(inputs_embeds=embeddings, use_cache=True, logits_to_keep=1)
        layers = len(self.engine.decoder.layers)
        state = Decoding(
            logits=out.logits[:, -1],
            positions=torch.full((len(prompts),), embeddings.shape[1], device=embeddings.device),
            configurations=[tuple(range(1, layers + 1))] * len(prompts),
            vision_lengths=[(len(prompts[0].vision_positions),) * layers] * len(prompts),
        )
        self._cache = out.past_key_values
        return state

    def _decode(self, state: Decoding) -> Decoding:
        for _ in range(self.workload.decode_steps):
            ids = state.logits.argmax(dim=-1)[:, None]
            out = self.engine.backbone.model(input_ids=ids, past_key_values=self._cache, use_cache=True)
            state.logits = out.logits[:, -1]
        return state

    def _kv_bytes(self, state: Decoding) -> int:
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers)
