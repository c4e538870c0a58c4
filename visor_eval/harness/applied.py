"""Use a method outside the harness: on a stock transformers model, for the time of a ``with`` block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from visor_eval.errors import SetupError
from visor_eval.harness.builders import dense_engine
from visor_eval.harness.registry import make_parts
from visor_eval.models.configs import text_config
from visor_eval.models.encoded import TiledImage
from visor_eval.models.generation import Limits, Sampling, generate
from visor_eval.models.layout import Layout
from visor_eval.models.llava_onevision import LlavaOnevision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import LlavaOnevisionForConditionalGeneration

    from visor_eval.models.engine import Engine


@contextmanager
def apply(
    model: LlavaOnevisionForConditionalGeneration, method: str, *, newline: str = "per_row", **options: object
) -> Iterator[LlavaOnevisionForConditionalGeneration]:
    """Let ``model.generate`` run with ``method``; the model is restored exactly when the block ends.

    Args:
        model: a stock transformers LLaVA-OneVision in evaluation mode.
        method: a reducer, a pruner, or a composition such as ``visionzip+fastv``.
        newline: ``per_row`` or ``none`` (the authors' order).
        **options: fields of the method, e.g. ``dominant=54``.

    Raises:
        SetupError: unknown method or option, or a method with weights of its own (``visor``).
    """
    backbone = LlavaOnevision(model)
    engine = dense_engine(backbone, make_parts(method, options), Layout(newline=newline))  # type: ignore[arg-type]
    if any(hasattr(part, "prepare") for part in engine.reduction.reducers):
        raise SetupError(f"{method} changes images before they are tiled; apply() starts from tiles: use the harness")
    model.generate = _Generate(engine)  # type: ignore[method-assign, assignment]
    try:
        yield model
    finally:
        del model.generate  # type: ignore[attr-defined]


class _Generate:
    """Stands in for ``model.generate``."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @torch.inference_mode()
    def __call__(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        attention_mask: Tensor | None = None,
        batch_num_images: Tensor | None = None,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        group: str | None = None,
    ) -> Tensor:
        """Inputs as the stock processor makes them -> prompt and answer ids [batch, length], as in transformers.

        Rows that end early are filled with the padding token. ``seed`` serves sampling; ``group`` (easy, hard) the
        methods whose schedule depends on it. Other arguments of transformers' ``generate`` are not supported.
        """
        backbone, decoder = self.engine.backbone, self.engine.decoder
        rows = _rows(input_ids, attention_mask)
        images = _images(backbone, rows, pixel_values, image_sizes, batch_num_images)
        encoded = backbone.encode(images, self.engine.reduction)
        prompts = [
            backbone.prompt(_placeholders(backbone, row, tiled), left.sequences)
            for row, tiled, left in zip(rows, images, encoded, strict=True)
        ]
        answers = generate(
            decoder,
            decoder.prefill(prompts, self.engine.chooser, [group] * len(rows)),
            [Limits(max_new_tokens=max_new_tokens)] * len(rows),
            end_tokens=backbone.end_tokens,
            decode_text=str,
            sampling=Sampling(temperature=temperature if do_sample else 0.0, top_p=top_p, seed=seed),
        )
        padding = text_config(backbone.model.config).pad_token_id or 0
        new = [input_ids.new_tensor(answer) for answer in answers]
        return torch.cat([input_ids, pad_sequence(new, batch_first=True, padding_value=padding)], dim=1)


def _rows(input_ids: Tensor, attention_mask: Tensor | None) -> list[Tensor]:
    """The prompts without padding."""
    if attention_mask is None:
        return list(input_ids)
    return [row[mask.bool()] for row, mask in zip(input_ids, attention_mask, strict=True)]


def _images(
    backbone: LlavaOnevision,
    rows: list[Tensor],
    pixel_values: Tensor | None,
    image_sizes: Tensor | None,
    batch_num_images: Tensor | None,
) -> list[list[TiledImage]]:
    """The images of each row. Without ``batch_num_images`` each gets its AnyRes tiles, as in transformers."""
    if pixel_values is None or image_sizes is None:
        return [[] for _ in rows]
    sizes = [(int(height), int(width)) for height, width in image_sizes]
    tiled = [True] * len(sizes)
    if batch_num_images is not None:
        tiled = [int(count) == 1 for count in batch_num_images for _ in range(int(count))]
    waiting = [
        TiledImage.of(pixels, size, backbone.anyres.count(*size).grid if alone else None)
        for pixels, size, alone in zip(pixel_values, sizes, tiled, strict=True)
    ]
    found: list[list[TiledImage]] = []
    for row in rows:
        left = int((row == backbone.model.config.image_token_id).sum())
        own = []
        while left > 0 and waiting:
            own.append(waiting.pop(0))
            left -= _placeholder_tokens(backbone, own[-1])
        if left:
            raise ValueError("image placeholders and images do not match: were both made by this model's processor?")
        found.append(own)
    return found


def _placeholders(backbone: LlavaOnevision, row: Tensor, images: list[TiledImage]) -> Tensor:
    """One placeholder token per image instead of one per vision token."""
    keep = torch.ones_like(row, dtype=torch.bool)
    slots = (row == backbone.model.config.image_token_id).nonzero().flatten().tolist()
    start = 0
    for image in images:
        count = _placeholder_tokens(backbone, image)
        keep[slots[start + 1 : start + count]] = False
        start += count
    return row[keep]


def _placeholder_tokens(backbone: LlavaOnevision, image: TiledImage) -> int:
    """How many placeholders the processor wrote for an image."""
    if image.grid is None:
        return backbone.anyres.side**2 + 1
    return backbone.anyres.count(*image.size).vision_tokens
