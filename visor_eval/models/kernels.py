"""One switch for what the decoder's layers run on; the default changes nothing.

``stock``: the modules as transformers made them. ``packed``: linear layers on packed weights, for a CPU, where it pays
most over few tokens. ``compiled``: ``torch.compile`` for each layer, with symbolic lengths; the first batches take
minutes. Both compute what the stock modules compute, up to rounding. What each is worth: docs/speed.md.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

import torch

from visor_eval.errors import SetupError
from visor_eval.models.packed_linear import packed_linears

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from visor_eval.models.decoder import SparseDecoder

Kernels = Literal["stock", "packed", "compiled"]
KERNELS: tuple[Kernels, ...] = ("stock", "packed", "compiled")


@contextmanager
def kernels(name: str, decoders: Sequence[SparseDecoder]) -> Iterator[None]:
    """Let ``decoders`` (which may share layers) run on the kernels called ``name``; restored when the block ends.

    Raises:
        SetupError: unknown name, or kernels that these weights cannot run on.
    """
    if name not in KERNELS:
        raise SetupError(f"unknown kernels {name!r}; valid: {', '.join(KERNELS)}")
    modules = {id(module): module for decoder in decoders for module in decoder.modules}
    with ExitStack() as stack:
        if name == "packed":
            heads = {id(decoder.lm_head): decoder.lm_head for decoder in decoders}
            stack.enter_context(packed_linears(*modules.values(), heads=list(heads.values())))
        elif name == "compiled":
            stack.enter_context(_compiled(list(modules.values())))
        yield


@contextmanager
def _compiled(modules: Sequence[nn.Module]) -> Iterator[None]:
    try:
        for module in modules:
            module.forward = torch.compile(module.forward, dynamic=True)  # type: ignore[method-assign]
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)
