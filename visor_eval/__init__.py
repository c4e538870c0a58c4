"""Benchmark and evaluation harness for cheaper vision-language models, on top of lmms-eval.

Importing this package imports nothing else; ``apply`` and the rooms (docs/architecture.md) load when they are used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visor_eval.harness.applied import apply

__version__ = "0.1.0"
__all__ = ["__version__", "apply"]


def __getattr__(name: str) -> object:
    if name == "apply":
        from visor_eval.harness.applied import apply

        return apply
    raise AttributeError(f"module 'visor_eval' has no attribute {name!r}")
