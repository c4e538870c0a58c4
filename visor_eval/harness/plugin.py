"""Makes our methods visible to plain `lmms-eval --model visor ...` (entry point group ``lmms_eval.models``)."""

from itertools import product
from typing import TYPE_CHECKING

from visor_eval.harness.registry import BUILT_IN, methods

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest

CLASSES = "visor_eval.harness.lmms_models"


def manifests() -> "list[ModelManifest]":
    """One manifest per method and per composition of a built-in model with one other method."""
    from lmms_eval.models.registry_v2 import ModelManifest

    names = list(methods())
    built_in = [method.name for method in BUILT_IN]
    pairs = [f"{model}+{part}" for model, part in product(built_in, names) if part not in built_in]
    return [
        ModelManifest(name, simple_class_path=f"{CLASSES}.simple:{name}", chat_class_path=f"{CLASSES}.chat:{name}")
        for name in (*names, *pairs)
    ]
