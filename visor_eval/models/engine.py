"""Requests in, answers with their true cost out: tower, reducers, sparse decoder and decode loop under one call."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from visor_eval.cost import LayerPlan, LayerStep, VisionMode, cost_record
from visor_eval.cost.plan import Reader as ReaderKind
from visor_eval.cost.reducing import nominal_tile_tokens
from visor_eval.models.decoder import Chooser, Configuration, FixedChoice, Reader, SparseDecoder
from visor_eval.models.generation import GREEDY, Limits, Sampling, generate, until_stop
from visor_eval.models.pruning import check
from visor_eval.models.reduction import UNREDUCED, Reduction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.Image import Image

    from visor_eval.core.pruning import Pruner
    from visor_eval.cost.shapes import BackboneShape
    from visor_eval.models.encoded import EncodedImages
    from visor_eval.models.llava_onevision import LlavaOnevision
    from visor_eval.models.sequence import Prompt
    from visor_eval.records import CostRecord


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question about some images (or none)."""

    images: tuple[Image, ...]
    prompt: str  # the user's turn, without chat template and image placeholders
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()  # strings that end the answer and are cut off
    group: str | None = None  # the task's group (easy, hard), for methods whose schedule depends on it


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said and what it cost."""

    text: str
    token_ids: tuple[int, ...]  # end token included
    cost: CostRecord


class Engine:
    """A backbone with a method on it."""

    def __init__(
        self,
        backbone: LlavaOnevision,
        shape: BackboneShape,
        *,
        chooser: Chooser | None = None,
        readers: Mapping[int, Reader] | None = None,
        reader_kind: ReaderKind = ReaderKind.ADDED,
        reduction: Reduction = UNREDUCED,
        pruner: Pruner | None = None,
        sampling: Sampling = GREEDY,
    ) -> None:
        """Without a chooser every layer is full: the dense model.

        Args:
            backbone: loaded model and processor.
            shape: its plain-number shapes, VISOR's parts included where there are any.
            chooser: says which layers are full.
            readers: how text reads vision in layers that are not full, by layer from 1.
            reader_kind: what those readers cost.
            reduction: fewer vision tokens before the decoder.
            pruner: fewer vision tokens between its layers; only without a chooser.
            sampling: how tokens are drawn.

        Raises:
            SetupError: reducers that do not fit together, or settings that this backbone has no room for.
        """
        reduction.check(shape)
        if pruner is not None:
            check(pruner, shape.decoder.layers)
        self.backbone = backbone
        self.shape = shape
        self.decoder = SparseDecoder(backbone.language_model, backbone.lm_head, readers, pruner)
        self.dense = chooser is None
        self.chooser: Chooser = chooser or FixedChoice(tuple(range(1, shape.decoder.layers + 1)))
        self.reader_kind = reader_kind
        self.reduction = reduction
        self.sampling = sampling

    @torch.inference_mode()
    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer one batch; sizes, numbers of images and configurations may be mixed."""
        started = time.perf_counter()
        prompts, encoded = self.read(requests)
        state = self.decoder.prefill(prompts, self.chooser, [request.group for request in requests])
        rows = generate(
            self.decoder,
            state,
            [Limits(max_new_tokens=request.max_new_tokens, stop=request.stop) for request in requests],
            end_tokens=self.backbone.end_tokens,
            decode_text=self.backbone.decode,
            sampling=self.sampling,
        )
        latency_ms = (time.perf_counter() - started) * 1000 / len(requests)
        return [
            Answer(
                text=until_stop(self.backbone.decode(row), request.stop).strip(),
                token_ids=row,
                cost=replace(
                    self.cost(
                        request,
                        prompt,
                        images,
                        configuration=state.configurations[number],
                        vision_lengths=state.vision_lengths[number],
                        pruning_flops=state.pruning_flops[number],
                        generated_tokens=len(row),
                        router=self.chooser.probe_layer is not None,
                    ),
                    latency_ms=latency_ms,
                    batch_size=len(requests),
                ),
            )
            for number, (request, prompt, images, row) in enumerate(zip(requests, prompts, encoded, rows, strict=True))
        ]

    def read(self, requests: Sequence[Request]) -> tuple[list[Prompt], list[EncodedImages]]:
        """Everything before the decoder: prompts with their vision tokens, and what the images became."""
        ids = [self.backbone.token_ids(request.prompt, len(request.images)) for request in requests]
        images = [[self.reduction.prepare(image) for image in request.images] for request in requests]
        encoded = self.backbone.encode(self.backbone.tile(images), self.reduction)
        prompts = [self.backbone.prompt(row, images.sequences) for row, images in zip(ids, encoded, strict=True)]
        return prompts, encoded

    def cost(
        self,
        request: Request,
        prompt: Prompt,
        images: EncodedImages,
        *,
        configuration: Configuration,
        vision_lengths: Sequence[int],
        generated_tokens: int,
        pruning_flops: int = 0,
        router: bool = False,
    ) -> CostRecord:
        """What one answer costs under ``configuration``; the time it took is not filled in.

        Args:
            request: the question.
            prompt: its tokens, from ``read``.
            images: its images behind the tower, from ``read``.
            configuration: the full layers, from 1.
            vision_lengths: vision tokens that enter each layer.
            generated_tokens: end token included.
            pruning_flops: what the scores of a pruner cost.
            router: whether a router chose the configuration.
        """
        dense_tiles, dense_vision_tokens = self.backbone.dense_counts(request.images)
        side = self.backbone.anyres.side
        return cost_record(
            self.shape,
            self.plan(configuration, vision_lengths),
            prefix_tokens=prompt.prefix_tokens,
            text_tokens=len(prompt.text_positions),
            tiles=images.tiles,
            generated_tokens=generated_tokens,
            dense_vision_tokens=dense_vision_tokens,
            dense_tiles=dense_tiles,
            configuration=None if self.dense else configuration,
            router=router,
            projector_tokens=images.projector_tokens,
            tile_tokens=nominal_tile_tokens(self.reduction.reducers, images.tile_tokens, (side, side)),
            reducer_flops=images.reducer_flops + pruning_flops,
            vision_tokens=len(prompt.vision_positions),
            dtype_bytes=self.backbone.model.dtype.itemsize,
        )

    def plan(self, configuration: Configuration, vision_tokens: Sequence[int]) -> LayerPlan:
        """What is executed: each layer's mode with the vision tokens that entered it."""
        steps = []
        for number, entering in enumerate(vision_tokens, 1):
            if number in configuration:
                steps.append(LayerStep(VisionMode.FULL, entering))
            elif number in self.decoder.readers:
                steps.append(LayerStep(VisionMode.READ, entering, self.reader_kind))
            else:
                steps.append(LayerStep(VisionMode.ABSENT, 0))
        return LayerPlan(tuple(steps))
