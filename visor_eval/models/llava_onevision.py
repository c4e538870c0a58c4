"""The LLaVA-OneVision family on transformers: prompts, tiles, vision tokens, shapes."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from visor_eval.core.tokens import VisionTokens
from visor_eval.cost.anyres import AnyRes
from visor_eval.models.capture import TowerCapture
from visor_eval.models.configs import used_blocks
from visor_eval.models.encoded import EncodedImage, EncodedImages, TiledImage
from visor_eval.models.layout import lay_out
from visor_eval.models.reduction import UNREDUCED, Reduction
from visor_eval.models.sequence import Prompt
from visor_eval.models.shapes import backbone_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

    from visor_eval.core.tokens import AnyTokens, Need


class LlavaOnevision:
    """A loaded checkpoint as the runtime sees it. Borrows the stock modules, changes nothing in them."""

    def __init__(
        self, model: LlavaOnevisionForConditionalGeneration, processor: LlavaOnevisionProcessor | None = None
    ) -> None:
        """Wrap a model in eval mode and, where prompts and images are to be read, its processor."""
        self.model = model
        self._processor = processor
        self.language_model = model.model.language_model
        self.lm_head = model.lm_head
        self.shape = backbone_shape(model.config, model.config.model_type)
        tower = self.shape.tower
        assert tower is not None
        self.anyres = AnyRes(
            tower.tile_px,
            tower.side,
            tuple((height, width) for height, width in model.config.image_grid_pinpoints or ()),
            int(model.config.vision_aspect_ratio.removeprefix("anyres_max_")),
        )

    @property
    def processor(self) -> LlavaOnevisionProcessor:
        """The checkpoint's processor."""
        if self._processor is None:
            raise ValueError("this model was wrapped without its processor: it takes token ids and pixels only")
        return self._processor

    @property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end an answer."""
        ends = self.model.generation_config.eos_token_id
        ends = list(ends) if isinstance(ends, list) else [ends]
        if self._processor is not None:
            ends.append(self._processor.tokenizer.eos_token_id)
        return frozenset(end for end in ends if end is not None)

    # --- text -------------------------------------------------------------------------------------------------------
    def token_ids(self, prompt: str, images: int) -> Tensor:
        """A user turn in the chat template, one placeholder token per image [n]."""
        content = [{"type": "image"}] * images + [{"type": "text", "text": prompt}]
        turn = [{"role": "user", "content": content}]
        text = self.processor.apply_chat_template(turn, add_generation_prompt=True)  # type: ignore[arg-type]
        ids = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return torch.tensor(ids, device=self.model.device)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated tokens."""
        return self.processor.tokenizer.decode(token_ids, skip_special_tokens=True).strip()

    # --- images -----------------------------------------------------------------------------------------------------
    def tile(self, samples: Sequence[Sequence[Image]]) -> list[list[TiledImage]]:
        """Cut images into normalised tiles with the checkpoint's processor.

        A single image of a sample gets its AnyRes tiles; several images get one tile each (LLaVA-OneVision's
        multi-image mode).
        """
        nested = [[image.convert("RGB") for image in sample] for sample in samples if sample]
        if not nested:
            return [[] for _ in samples]
        pixels = self.processor.image_processor(nested, return_tensors="pt")["pixel_values"]
        padded = iter([tiles.to(self.model.device) for tiles in pixels])
        return [
            [TiledImage.of(next(padded), (image.height, image.width), self._grid(image, sample)) for image in sample]
            for sample in samples
        ]

    def _grid(self, image: Image, sample: Sequence[Image]) -> tuple[int, int] | None:
        return self.anyres.count(image.height, image.width).grid if len(sample) == 1 else None

    def encode(self, samples: Sequence[Sequence[TiledImage]], reduction: Reduction = UNREDUCED) -> list[EncodedImages]:
        """Vision tokens of every sample's images, as they enter the decoder: tower, reducers, projector, layout."""
        images = [image for sample in samples for image in sample]
        if not images:
            return [EncodedImages.join([]) for _ in samples]
        seen = self.tower(torch.cat([image.pixels for image in images]), reduction.needs)
        encoded = self.lay_out(images, self.project(self.gather(images, *seen, reduction)), reduction)
        following = iter(encoded)
        return [EncodedImages.join([next(following) for _ in sample]) for sample in samples]

    def gather(
        self, images: Sequence[TiledImage], features: Tensor, capture: TowerCapture, reduction: Reduction
    ) -> list[AnyTokens]:
        """What ``tower`` made of all images, image by image, after the reducers that stand before the projector."""
        counts = [len(image.pixels) for image in images]
        side, ends = self.anyres.side, accumulate(counts)
        return [
            reduction.before_projector(
                VisionTokens(
                    features=features[end - count : end],
                    tile_shape=(side, side),
                    grid=image.grid,
                    image_size=image.size,
                    fingerprint=image.fingerprint if "fingerprint" in reduction.needs else None,
                    **capture.of_image(slice(end - count, end)),
                )
            )
            for image, count, end in zip(images, counts, ends, strict=True)
        ]

    def project(self, tokens: Sequence[AnyTokens]) -> list[AnyTokens]:
        """Run the projector over all images at once."""
        packed = torch.cat([token.features.reshape(token.num_tokens, -1) for token in tokens])
        pieces = self.model.model.multi_modal_projector(packed).split([token.num_tokens for token in tokens])
        return [token.with_features(piece) for token, piece in zip(tokens, pieces, strict=True)]

    def lay_out(
        self, images: Sequence[TiledImage], tokens: Sequence[AnyTokens], reduction: Reduction
    ) -> list[EncodedImage]:
        """What the projector made of all images, after the last reducers, each image as one sequence."""
        newline = self.model.model.image_newline
        encoded = []
        for image, projected in zip(images, tokens, strict=True):
            count, left = len(image.pixels), reduction.after_projector(projected)
            encoded.append(
                EncodedImage(
                    sequence=lay_out(left, newline, self.anyres.max_tiles, reduction.layout),
                    tiles=count,
                    projector_tokens=projected.num_tokens,
                    left_tokens=left.num_tokens,
                    reducer_flops=reduction.flops(count, self.shape),
                )
            )
        return encoded

    def dense_counts(self, images: Sequence[Image]) -> tuple[int, int]:
        """Tiles and vision tokens (newlines included) of one sample in the dense model, from the image sizes alone."""
        if len(images) == 1:
            count = self.anyres.count(images[0].height, images[0].width)
            return count.tiles, count.vision_tokens
        return len(images), len(images) * (self.anyres.side**2 + 1)

    def tower(self, pixels: Tensor, needs: frozenset[Need] = frozenset()) -> tuple[Tensor, TowerCapture]:
        """Vision features that the projector was trained on [tiles, tokens, dim], and what reducers ``need``."""
        tower, capture = self.model.model.vision_tower, TowerCapture(needs)
        blocks = list(tower.encoder.layers)[: used_blocks(self.model.config)]
        states = tower.embeddings(pixels.to(self.model.dtype))
        with capture.watching(blocks):
            for block in blocks:
                states = block(states, attention_mask=None)
        return states, capture

    # --- both -------------------------------------------------------------------------------------------------------
    def prompt(self, token_ids: Tensor, images: Sequence[Tensor]) -> Prompt:
        """Text and images in one order."""
        image_token = self.model.config.image_token_id
        is_image = token_ids == image_token
        embeddings = self.language_model.embed_tokens(token_ids.masked_fill(is_image, 0))
        return Prompt.interleave(token_ids, embeddings, image_token, images)
