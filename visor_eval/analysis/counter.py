"""Costs of methods over a range of vision tokens, in closed form: what `visor-eval flops` counts. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visor_eval.cost.estimate import Text, for_tokens
from visor_eval.cost.shapes import BackboneShape
from visor_eval.cost.variants import Variant, variants
from visor_eval.records import Accounting, CostRecord


@dataclass(frozen=True, kw_only=True)
class CountedCost:
    """One variant on one backbone at one number of vision tokens.

    Attributes:
        backbone: its name.
        layers: of its decoder.
        method: name of the method.
        setting: which of its settings; empty where it has one.
        vision_tokens: of the dense model.
        cost: the sample's cost and its dense counterpart's.
    """

    backbone: str
    layers: int
    method: str
    setting: str
    vision_tokens: int
    cost: CostRecord

    @property
    def label(self) -> str:
        """Method and setting."""
        return f"{self.method} {self.setting}".rstrip()

    def saving(self, accounting: Accounting | str, *, causal: bool = False) -> float:
        """Dense over method; arguments as for ``CostRecord.total``."""
        return self.cost.dense_total(accounting, causal=causal) / self.cost.total(accounting, causal=causal)

    @property
    def kv_cache_saving(self) -> float:
        """Dense over method, bytes held when generation ends."""
        return self.cost.kv_cache_bytes_dense / self.cost.kv_cache_bytes


@dataclass(frozen=True, kw_only=True)
class Count:
    """All that was counted, and what could not be.

    Attributes:
        lines: by backbone, then variant, then vision tokens.
        skipped: variant -> why it has no closed form here.
        text: of every sample.
    """

    lines: tuple[CountedCost, ...]
    skipped: Mapping[str, str]
    text: Text

    @property
    def backbones(self) -> tuple[str, ...]:
        """In the given order."""
        return tuple(dict.fromkeys(line.backbone for line in self.lines))

    @property
    def vision_tokens(self) -> tuple[int, ...]:
        """In the given order."""
        return tuple(dict.fromkeys(line.vision_tokens for line in self.lines))

    def of(self, backbone: str) -> dict[str, dict[int, CountedCost]]:
        """Lines of one backbone: variant -> vision tokens -> line."""
        found: dict[str, dict[int, CountedCost]] = {}
        for line in self.lines:
            if line.backbone == backbone:
                found.setdefault(line.label, {})[line.vision_tokens] = line
        return found


def count(
    backbones: Sequence[BackboneShape],
    methods: Sequence[str],
    vision_tokens: Sequence[int],
    text: Text,
    options: Mapping[str, object] | None = None,
) -> Count:
    """Count every setting of every method on every backbone at every number of vision tokens.

    Args:
        backbones: shapes.
        methods: names and compositions (`cost.variants`).
        vision_tokens: of the dense model, newlines apart.
        text: of the sample.
        options: fields of the methods' budgets.

    Raises:
        SetupError: unknown names or options.
    """
    lines: list[CountedCost] = []
    skipped: dict[str, str] = {}
    for backbone in backbones:
        for variant in variants(methods, backbone, options):
            try:
                lines += [_counted(backbone, variant, tokens, text) for tokens in vision_tokens]
            except ValueError as error:
                skipped[variant.label] = str(error)
    return Count(lines=tuple(lines), skipped=skipped, text=text)


def _counted(backbone: BackboneShape, variant: Variant, tokens: int, text: Text) -> CountedCost:
    return CountedCost(
        backbone=backbone.name,
        layers=backbone.decoder.layers,
        method=variant.method,
        setting=variant.setting,
        vision_tokens=tokens,
        cost=for_tokens(backbone, variant, tokens, text),
    )
