"""Several questions about one image in one pass: the vision tokens are computed once, each question sees only itself.

The same mathematics as one question at a time at inference (tests/training compares both), on whole batches of images
of one size.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import torch
import torch.fx.experimental._config as fx_config
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.models.configs import head_dim, kv_heads, text_config
from visor_eval.models.encoded import TiledImage
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.reduction import UNREDUCED, Reduction
from visor_eval.training import layers as functions
from visor_eval.training.layers import BlockWeights, LayerWeights, Rotary, Shape
from visor_eval.visor.cross_attention import CrossAttentionBlock
from visor_eval.visor.modules import VisorModules
from visor_eval.visor.packing import packers

Result = TypeVar("Result")
IGNORED = -100  # label of positions without loss


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """Images of one size with the same number of questions each."""

    pixels: Tensor  # [images, tiles, 3, side, side]
    rows: int  # tile rows of the canvas
    columns: int  # tile columns of the canvas
    tokens: Tensor  # prefix, prompt, suffix, answer, padding on the right [images, questions, tokens]
    labels: Tensor  # the next token where it is part of an answer, else IGNORED [images, questions, tokens]
    prefix: int = 1  # tokens before the image
    size: tuple[int, int] | None = None  # height, width of the images in pixels; None: they fill the canvas

    def to(self, device: torch.device) -> "PackedBatch":
        """The same batch on ``device``."""
        return replace(
            self, pixels=self.pixels.to(device), tokens=self.tokens.to(device), labels=self.labels.to(device)
        )

    def share(self, index: int, count: int) -> "PackedBatch":
        """Every ``count``-th image from ``index`` on, with its questions."""
        mine = slice(index, None, count)
        return replace(self, pixels=self.pixels[mine], tokens=self.tokens[mine], labels=self.labels[mine])


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What becomes of the vision tokens in one pass; layers count from 1."""

    full: frozenset[int]  # stock layer on text and vision
    read: frozenset[int]  # followed by cross-attention
    reduction: Reduction = UNREDUCED  # before the decoder

    @classmethod
    def dense(cls, layers: int, reduction: Reduction = UNREDUCED) -> "StepPlan":
        """Every layer on everything."""
        return cls(full=frozenset(range(1, layers + 1)), read=frozenset(), reduction=reduction)

    @classmethod
    def sparse(cls, configuration: Sequence[int], read: Sequence[int], reduction: Reduction = UNREDUCED) -> "StepPlan":
        """A VISOR configuration; an empty one is cross-attention only."""
        return cls(full=frozenset(configuration), read=frozenset(read), reduction=reduction)

    @classmethod
    def of(cls, visor: VisorModules, configuration: Sequence[int]) -> "StepPlan":
        """A configuration of these modules, VISOR-TR's token packing included."""
        return cls.sparse(configuration, visor.config.read_layers, Reduction(packers(visor.config)))


@dataclass
class PackedModel:
    """A stock model and its VISOR modules, run question-packed; batches are brought to the model's device."""

    model: LlavaOnevisionForConditionalGeneration
    visor: VisorModules | None = None
    compute: torch.dtype = torch.float32
    compiled: bool = False
    _text: Callable[..., Tensor] = field(init=False, repr=False)
    _full: Callable[..., tuple[Tensor, Tensor]] = field(init=False, repr=False)
    _read: Callable[..., Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the layer functions if asked to."""
        self._text, self._full, self._read = functions.text_layer, functions.full_layer, functions.read_block
        if self.compiled and _has_compiler():
            self._text = _compiled(functions.text_layer)
            self._full = _compiled(functions.full_layer)
            self._read = _compiled(functions.read_block)
        config = text_config(self.model.config)
        self.shape = Shape(
            heads=config.num_attention_heads,
            kv_heads=kv_heads(config),
            head_dim=head_dim(config),
            eps=config.rms_norm_eps,
            compute=self.compute,
        )
        self.depth = len(self.model.model.language_model.layers)
        self._backbone = LlavaOnevision(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    def vision_tokens(self, batch: PackedBatch, reduction: Reduction = UNREDUCED) -> Tensor:
        """Tower, reducers, projector and AnyRes layout, by the runtime's own code [images, vision, hidden].

        Raises:
            RuntimeError: a reducer leaves more tokens of one image than of another.
        """
        backbone, grid, batch = self._backbone, (batch.rows, batch.columns), batch.to(self.device)
        size = batch.size or (batch.rows * backbone.anyres.tile_px, batch.columns * backbone.anyres.tile_px)
        images = [TiledImage(pixels=tiles, size=size, grid=grid) for tiles in batch.pixels]
        frozen = not any(parameter.requires_grad for parameter in self.model.model.vision_tower.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features, capture = backbone.tower(batch.pixels.flatten(0, 1), reduction.needs)
        projected = backbone.project(backbone.gather(images, features, capture, reduction))
        return torch.stack([image.sequence for image in backbone.lay_out(images, projected, reduction)])

    def hidden(
        self,
        batch: PackedBatch,
        plan: StepPlan,
        *,
        embeds: Tensor | None = None,
        depth: int | None = None,
        watch: Callable[[int, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Text states after some layers, without the final norm [images * questions, tokens, hidden].

        Args:
            batch: what to read.
            plan: what each layer does with the vision tokens.
            embeds: replaces the embeddings of ``batch.tokens`` [images * questions, tokens, hidden].
            depth: stop after this many layers.
            watch: told the layer, text and vision states [images * questions or images, tokens, hidden] before a block
                reads them.
        """
        decoder, batch = self.model.model.language_model, batch.to(self.device)
        vision = self.vision_tokens(batch, plan.reduction)
        text = embeds if embeds is not None else decoder.embed_tokens(batch.tokens.flatten(0, 1))
        rows, tokens, _ = text.shape
        images, seen, _ = vision.shape
        prefix, per_image = batch.prefix, rows // images
        table = self._rotary(prefix + seen + tokens)
        place = torch.arange(tokens, device=self.device)
        place = torch.where(place < prefix, place, place + seen)
        of_text = Rotary(table.cos[place], table.sin[place])
        of_questions = Rotary(of_text.cos[prefix:], of_text.sin[prefix:])
        of_vision = Rotary(table.cos[: prefix + seen], table.sin[: prefix + seen])
        causal_text = causal_bias(tokens, self.device)
        causal_questions, causal_vision = (
            causal_bias(length, self.device) for length in (tokens - prefix, prefix + seen)
        )
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
                block = cast("CrossAttentionBlock", self.visor.blocks[str(number)])
                if watch is not None:
                    watch(number, text[:, prefix:], vision)
                read = self._read(text[:, prefix:], vision, BlockWeights.of(block), self.shape)
                text = torch.cat((text[:, :prefix], read), dim=1)
        return text

    def vision_path(
        self, batch: PackedBatch, layers: Sequence[int], vision: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Vision tokens as they enter the decoder, and after each of these stock layers, which see no question.

        Args:
            batch: what to read.
            layers: run one after the other, counted from 1.
            vision: the tokens, where they are known already.

        Returns:
            [images, vision, hidden], without a gradient, and one such tensor per layer.
        """
        decoder, batch = self.model.model.language_model, batch.to(self.device)
        with torch.no_grad():
            vision = self.vision_tokens(batch) if vision is None else vision
            states = torch.cat((decoder.embed_tokens(batch.tokens[:, 0, : batch.prefix]), vision), dim=1)
        length = states.shape[1]
        rotary, causal, found = self._rotary(length), causal_bias(length, self.device), []
        for number in layers:
            states = self._text(states, rotary, causal, LayerWeights.of(decoder.layers[number - 1]), self.shape)
            found.append(states[:, batch.prefix :])
        return vision, found

    def logits(self, states: Tensor) -> Tensor:
        """Final norm and LM head [..., hidden] -> [..., vocabulary], in float32."""
        decoder = self.model.model.language_model
        normed = functions.rms_norm(states, decoder.norm.weight, decoder.norm.variance_epsilon)
        head = self.model.lm_head.weight
        return F.linear(normed.to(self.compute), head.to(self.compute)).float()

    def answer_logits(self, batch: PackedBatch, plan: StepPlan) -> tuple[Tensor, Tensor]:
        """Logits where an answer token is due [answer tokens, vocabulary], and those tokens [answer tokens]."""
        batch = batch.to(self.device)
        states = self.hidden(batch, plan)
        labels = batch.labels.flatten(0, 1)
        due = labels != IGNORED
        return self.logits(states[due]), labels[due]

    def _rotary(self, length: int) -> Rotary:
        decoder = self.model.model.language_model
        places = torch.arange(length, device=self.device)
        cos, sin = decoder.rotary_emb(torch.zeros(1, device=self.device), places[None])
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
        # equal sizes in one batch need not be equal in the next
        with fx_config.patch(use_duck_shape=False):  # type: ignore[attr-defined]
            return compiled(*arguments)

    return call


def causal_bias(length: int, device: torch.device) -> Tensor:
    """Additive causal mask [length, length]."""
    return torch.full((length, length), float("-inf"), device=device).triu(1)
