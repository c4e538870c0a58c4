"""Benchmark and evaluation harness for cheaper vision-language models, on top of lmms-eval.

Importing this package imports nothing else; take what you need from its rooms (docs/architecture.md).
"""

__version__ = "0.1.0"
