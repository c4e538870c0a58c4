"""What one answered sample cost, and what the dense model would have paid for the same sample.

Conventions (docs/cost.md): one multiply-add is 2 FLOPs. Attention is counted over all query-key pairs that the
kernel is asked for; the ``*_causal`` columns count only the pairs that the causal mask lets through. The LM head runs
on the last prompt position only. What is not counted at all is listed in ``visor_eval.cost.NOT_COUNTED``.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar

from visor_eval.records.schema import Record


class Accounting(StrEnum):
    """The three ways to say what a sample cost. Every number that leaves the project is labelled with one of them."""

    PAPER = "paper"  # nominal: vision tokens x layers in which they are processed, of one tile
    EXACT = "exact"  # executed decoder prefill FLOPs: text, cross-attention, router and LM head included
    END_TO_END = "end_to_end"  # exact, and vision tower, projector, reducer and the decode steps


COMPONENTS = (
    "tower",
    "projector",
    "reducer",
    "projections",
    "attention",
    "mlp",
    "cross_attention",
    "router",
    "lm_head",
)
DECODER_COMPONENTS = ("projections", "attention", "mlp", "cross_attention", "router", "lm_head")


@dataclass(frozen=True, kw_only=True)
class Flops(Record):
    """FLOPs of one phase (prefill or decode) of one sample, by component. All integers; multiply-add = 2."""

    tower: int = 0  # vision tower over all tiles, patch embedding included
    projector: int = 0  # tower width -> decoder width
    reducer: int = 0  # token reduction before the decoder, and pruning scores between its layers
    projections: int = 0  # q, k, v, o of the decoder's own layers
    attention: int = 0  # the decoder's own attention, all query-key pairs asked for
    mlp: int = 0  # gate, up, down
    cross_attention: int = 0  # what reading vision adds to READ layers: q, k, v, o, convolution, attention
    router: int = 0  # the routing token's way to the probe layer, and the router's MLP
    lm_head: int = 0  # one position per generated token
    attention_causal: int = 0  # as `attention`, only pairs that the causal mask lets through
    cross_attention_causal: int = 0  # as `cross_attention`, likewise (differs only where a reader precedes vision)
    router_causal: int = 0  # as `router`, likewise

    def __post_init__(self) -> None:
        """Reject negative counts."""
        if min(vars(self).values()) < 0:
            name, count = next((name, count) for name, count in vars(self).items() if count < 0)
            raise ValueError(f"{name} must not be negative, got {count}")

    def total(self, components: tuple[str, ...] = COMPONENTS, *, causal: bool = False) -> int:
        """Sum of ``components`` in FLOPs; with ``causal`` attention counts only its causal half."""
        return sum(self.component(name, causal=causal) for name in components)

    def component(self, name: str, *, causal: bool = False) -> int:
        """FLOPs of one of ``COMPONENTS``; with ``causal`` its causal column where it has one."""
        if name not in COMPONENTS:
            raise ValueError(f"unknown component {name!r}; valid: {', '.join(COMPONENTS)}")
        if causal and name in ("attention", "cross_attention", "router"):
            return getattr(self, f"{name}_causal")
        return getattr(self, name)

    def __add__(self, other: "Flops") -> "Flops":
        """Add component by component."""
        return Flops(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})


@dataclass(frozen=True, kw_only=True)
class CostRecord(Record):
    """True cost of one sample and of its dense counterpart (same image, same prompt, same number of generated tokens).

    Savings are ratios of *mean* costs over samples: ``mean(dense_total) / mean(total)``, never means of ratios.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    vision_tokens: int  # that enter the decoder, newlines included, after any reducer
    text_tokens: int  # prompt tokens, chat template included, image placeholders excluded
    generated_tokens: int  # produced tokens, end token included when it was produced
    tiles: int  # that the vision tower ran on, thumbnail included, over all images
    configuration: tuple[int, ...] | None  # layers, from 1, that process vision; None: no such choice
    self_attention_layers: float  # number of layers that process vision tokens (to be averaged over samples)
    prefill: Flops  # up to the first generated token, vision tower included
    decode: Flops  # all decode steps together: generated_tokens - 1 of them, the first token comes from the prefill
    dense_vision_tokens: int  # that would enter the dense decoder for the same image(s)
    dense_prefill: Flops  # of the dense counterpart
    dense_decode: Flops  # of the dense counterpart
    nominal: float  # paper accounting: vision tokens x layers of one tile, for this method
    nominal_dense: float  # the same for dense: tokens of one tile x number of layers
    kv_cache_bytes: int  # keys and values held after the last step, this method
    kv_cache_bytes_dense: int  # the same for the dense counterpart
    latency_ms: float | None = None  # wall time of the batch / its size, tower to last token; None: not measured
    batch_size: int = 1  # samples that shared the measured batch
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject impossible counts."""
        for name in ("vision_tokens", "text_tokens", "generated_tokens", "tiles", "dense_vision_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.configuration is not None and any(layer < 1 for layer in self.configuration):
            raise ValueError(f"configuration holds layers counted from 1, got {self.configuration}")

    def total(self, accounting: Accounting | str = Accounting.EXACT, *, causal: bool = False) -> float:
        """Cost of this sample.

        Args:
            accounting: ``paper`` (vision tokens x layers), ``exact`` or ``end_to_end`` (FLOPs).
            causal: count only the causal half of attention (no effect on ``paper``).
        """
        return _total(accounting, self.nominal, self.prefill, self.decode, causal=causal)

    def dense_total(self, accounting: Accounting | str = Accounting.EXACT, *, causal: bool = False) -> float:
        """Cost of the dense model on the same sample; arguments as for ``total``."""
        return _total(accounting, self.nominal_dense, self.dense_prefill, self.dense_decode, causal=causal)


def _total(accounting: Accounting | str, nominal: float, prefill: Flops, decode: Flops, *, causal: bool) -> float:
    try:
        accounting = Accounting(accounting)
    except ValueError:
        raise ValueError(f"unknown accounting {accounting!r}; valid: {', '.join(Accounting)}") from None
    if accounting is Accounting.PAPER:
        return nominal
    if accounting is Accounting.EXACT:
        return prefill.total(DECODER_COMPONENTS, causal=causal)
    return prefill.total(causal=causal) + decode.total(causal=causal)
