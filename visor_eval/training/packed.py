"""Several questions about one image in one pass: the vision tokens are computed once, each question sees only itself.

The same mathematics as one question at a time at inference (tests/training compares both), on whole batches of images
of one size.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.fx.experimental._config as fx_config
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.training import layers as functions
from visor_eval.training.layers import BlockWeights, LayerWeights, Rotary, Shape
from visor_eval.training.pixels import pack
from visor_eval.visor.modules import VisorModules

Result = TypeVar("Result")
IGNORED = -100  # label of positions without loss


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Images of one size with the same number of questions each."""

    pixels: Tensor  # [images, tiles, 3, 56, 56]
    rows: int  # tile rows of the canvas
    columns: int  # tile columns of the canvas
    tokens: Tensor  # prefix, prompt, suffix, answer, padding on the right [images, questions, tokens]
    labels: Tensor  # the next token where it is part of an answer, else IGNORED [images, questions, tokens]
    prefix: int = 1  # tokens before the image


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What the 24 layers do in one pass; layers count from 1."""

    full: frozenset[int]  # stock layer on text and vision
    read: frozenset[int]  # followed by cross-attention

    @classmethod
    def dense(cls, layers: int) -> "StepPlan":
        """Every layer on everything."""
        return cls(full=frozenset(range(1, layers + 1)), read=frozenset())

    @classmethod
    def sparse(cls, configuration: Sequence[int], read: Sequence[int]) -> "StepPlan":
        """A VISOR configuration; an empty one is cross-attention only."""
        return cls(full=frozenset(configuration), read=frozenset(read))


@dataclass
class PackedModel:
    """A stock model and its VISOR modules, run question-packed."""

    model: LlavaOnevisionForConditionalGeneration
    visor: VisorModules | None = None
    compute: torch.dtype = torch.float32
    compiled: bool = False
    _text: object = field(init=False, repr=False)
    _full: object = field(init=False, repr=False)
    _read: object = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the layer functions if asked to."""
        chosen = (functions.text_layer, functions.full_layer, functions.read_block)
        self._text, self._full, self._read = map(_compiled, chosen) if self.compiled and _has_compiler() else chosen
        decoder = self.model.model.language_model
        attention = decoder.layers[0].self_attn
        self.shape = Shape(
            decoder.config.num_attention_heads, attention.head_dim, decoder.norm.variance_epsilon, self.compute
        )
        self.depth = len(decoder.layers)

    def vision_tokens(self, batch: PackedBatch) -> Tensor:
        """Tower, projector and AnyRes packing [images, vision, hidden]."""
        model = self.model.model
        images, count = batch.pixels.shape[:2]
        frozen = not any(parameter.requires_grad for parameter in model.vision_tower.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = tower_features(model.vision_tower, batch.pixels.flatten(0, 1))
        projected = model.multi_modal_projector(features)
        return pack(projected.view(images, count, *projected.shape[1:]), model.image_newline, batch.rows, batch.columns)

    def hidden(
        self, batch: PackedBatch, plan: StepPlan, *, embeds: Tensor | None = None, depth: int | None = None
    ) -> Tensor:
        """Text states after some layers, without the final norm [images * questions, tokens, hidden].

        Args:
            batch: what to read.
            plan: what each layer does with the vision tokens.
            embeds: replaces the embeddings of ``batch.tokens`` [images * questions, tokens, hidden].
            depth: stop after this many layers.
        """
        decoder = self.model.model.language_model
        vision = self.vision_tokens(batch)
        text = embeds if embeds is not None else decoder.embed_tokens(batch.tokens.flatten(0, 1))
        rows, tokens, _ = text.shape
        images, seen, _ = vision.shape
        prefix, per_image = batch.prefix, rows // images
        table = self._rotary(prefix + seen + tokens)
        place = torch.cat((torch.arange(prefix), torch.arange(prefix + seen, seen + tokens)))
        of_text = Rotary(table.cos[place], table.sin[place])
        of_questions = Rotary(of_text.cos[prefix:], of_text.sin[prefix:])
        of_vision = Rotary(table.cos[: prefix + seen], table.sin[: prefix + seen])
        causal_text = causal_bias(tokens)
        causal_questions, causal_vision = causal_bias(tokens - prefix), causal_bias(prefix + seen)
        for number, layer in enumerate(decoder.layers[: depth or self.depth], start=1):
            weights = LayerWeights.of(layer)
            if number in plan.full:
                first = text[::per_image, :prefix]
                questions, both = self._full(
                    text[:, prefix:], torch.cat((first, vision), dim=1), of_questions, of_vision,
                    causal_questions, causal_vision, weights, self.shape,
                )  # fmt: skip
                vision = both[:, prefix:]
                text = torch.cat((both[:, :prefix].repeat_interleave(per_image, dim=0), questions), dim=1)
            else:
                text = self._text(text, of_text, causal_text, weights, self.shape)
            if number in plan.read:
                assert self.visor is not None, "a plan with read layers needs VISOR modules"
                block = BlockWeights.of(self.visor.blocks[str(number)])
                text = torch.cat((text[:, :prefix], self._read(text[:, prefix:], vision, block, self.shape)), dim=1)
        return text

    def logits(self, states: Tensor) -> Tensor:
        """Final norm and LM head [..., hidden] -> [..., vocabulary], in float32."""
        decoder = self.model.model.language_model
        normed = functions.rms_norm(states, decoder.norm.weight, decoder.norm.variance_epsilon)
        head = self.model.lm_head.weight
        return F.linear(normed.to(self.compute), head.to(self.compute)).float()

    def answer_logits(self, batch: PackedBatch, plan: StepPlan) -> tuple[Tensor, Tensor]:
        """Logits where an answer token is due [answer tokens, vocabulary], and those tokens [answer tokens]."""
        states = self.hidden(batch, plan)
        labels = batch.labels.flatten(0, 1)
        due = labels != IGNORED
        return self.logits(states[due]), labels[due]

    def _rotary(self, length: int) -> Rotary:
        decoder = self.model.model.language_model
        cos, sin = decoder.rotary_emb(torch.zeros(1), torch.arange(length)[None])
        return Rotary(cos[0], sin[0])


def _has_compiler() -> bool:
    """Whether torch.compile can build for the CPU here; without a C++ compiler training runs uncompiled, slower."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def _compiled(function: Callable[..., Result]) -> Callable[..., Result]:
    """One graph for all batch sizes, lengths and layouts; widths stay constants."""
    compiled = torch.compile(function)

    def call(*arguments: Tensor | tuple) -> Result:
        for argument in arguments:
            if isinstance(argument, Rotary):
                for table in argument:
                    torch._dynamo.maybe_mark_dynamic(table, 0)
            elif isinstance(argument, Tensor):  # [rows, tokens, hidden] or [tokens, tokens]
                torch._dynamo.maybe_mark_dynamic(argument, (0, 1))
        with fx_config.patch(use_duck_shape=False):  # equal sizes in one batch need not be equal in the next
            return compiled(*arguments)

    return call


def causal_bias(length: int) -> Tensor:
    """Additive causal mask [length, length]."""
    return torch.full((length, length), float("-inf")).triu(1)


def tower_features(tower: nn.Module, pixels: Tensor) -> Tensor:
    """Output of the tower's last block, before its final norm, which LLaVA-OneVision does not use.

    Args:
        tower: a SiglipVisionModel.
        pixels: [tiles, 3, 56, 56].

    Returns:
        [tiles, patches, tower hidden].
    """
    hidden = tower.embeddings(pixels)
    for block in tower.encoder.layers:
        output = block(hidden, attention_mask=None)
        hidden = output[0] if isinstance(output, tuple) else output
    return hidden
