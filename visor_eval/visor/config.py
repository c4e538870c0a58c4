"""What makes a LLaVA-OneVision folder a VISOR checkpoint: the value of its config.json key ``visor``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

from visor_eval.cost.configurations import candidate_layers, configurations, cross_attention_layers
from visor_eval.errors import SetupError

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class VisorConfig:
    """Where vision tokens interact, and how. Layers count from 1, as the paper counts them.

    Where the paper is silent the defaults are ours (docs/visor.md gives the reasons).
    """

    schema_version: int = SCHEMA_VERSION
    candidates: tuple[int, ...] = ()  # layers that may run on text and vision together
    read_layers: tuple[int, ...] = ()  # layers followed by an added cross-attention block
    configurations: tuple[tuple[int, ...], ...] = ()  # the viable subsets of `candidates`, cheapest first
    conv_kernel: int = 7  # vision tokens seen by the conditional positional encoding
    router: bool = False  # the checkpoint holds a trained router
    router_hidden: int = 256
    probe_layer: int = 3  # the routing token is read after this layer
    packing: float = 1.0  # vision tokens per packed token (VISOR-TR: 2 or 4)
    packing_mode: Literal["interpolate", "space_to_depth"] = "interpolate"

    def __post_init__(self) -> None:
        """Raise SetupError where the fields contradict each other."""
        if self.schema_version != SCHEMA_VERSION:
            raise SetupError(
                f"this checkpoint's visor config has schema version {self.schema_version}; "
                f"this visor-eval reads {SCHEMA_VERSION}. Install a matching version of visor-eval."
            )
        if overlap := set(self.candidates) & set(self.read_layers):
            raise SetupError(f"layers {sorted(overlap)} are both self-attention candidates and read layers")
        for configuration in self.configurations:
            self.check(configuration)
        if self.router and self.probe_layer >= self.first_choice:
            raise SetupError(
                f"the router reads after layer {self.probe_layer}, but configurations part at layer {self.first_choice}"
            )

    @classmethod
    def for_layers(cls, layers: int, **overrides: object) -> "VisorConfig":
        """Defaults for a decoder of ``layers`` layers; keyword arguments replace single fields."""
        defaults: dict[str, object] = {
            "candidates": candidate_layers(layers),
            "read_layers": cross_attention_layers(layers),
            "configurations": configurations(layers),
        }
        return cls(**{**defaults, **overrides})  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "VisorConfig":
        """Read the ``visor`` value of a config.json. Raises SetupError on unknown keys."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise SetupError(f"unknown keys {unknown} in the checkpoint's visor config; known: {sorted(known)}")
        return cls(**{key: _as_tuple(value) for key, value in values.items()})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        """Plain values for config.json."""
        return asdict(self)

    def check(self, configuration: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``configuration`` sorted, or raise SetupError if it uses a layer that is not a candidate."""
        if unknown := sorted(set(configuration) - set(self.candidates)):
            raise SetupError(
                f"configuration {list(configuration)} uses layers {unknown}; "
                f"self-attention layers can be chosen from {list(self.candidates)}"
            )
        return tuple(sorted(set(configuration)))

    @property
    def largest(self) -> tuple[int, ...]:
        """The viable configuration with most self-attention layers: the *full model*."""
        return max(self.configurations, key=len)

    @property
    def first_choice(self) -> int:
        """The first layer (1-based) at which viable configurations differ."""
        sets = [set(configuration) for configuration in self.configurations]
        contested = set().union(*sets) - set.intersection(*sets) if sets else set()
        return min(contested, default=max(self.candidates, default=1))


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        return tuple(_as_tuple(item) for item in value)
    return value
