"""Linear layers on weights packed once for oneDNN, instead of once per call.

A stock linear layer hands MKL plain weights, which are rearranged in every call. Over a thousand tokens that does not
show; over the thirty text tokens of a sparse layer it costs half of the time. Packed weights are a second copy, in the
order in which the processor reads them: same products, same sums up to rounding, as much memory again. A single token
reads every weight once: it stays with the plain ones (``_one_row``).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DTYPES = (torch.float32, torch.bfloat16)
PARTS = 8  # of the weights that a single row meets; threads take one each


@contextmanager
def packed_linears(*modules: nn.Module, heads: Sequence[nn.Module] = ()) -> Iterator[None]:
    """Let every ``nn.Linear`` inside ``modules`` run on packed weights; they are as before when the block ends.

    Args:
        modules: decoder layers and the like.
        heads: LM heads: large, and run on one row per sequence; these get no packed copy.

    Raises:
        SetupError: weights that cannot be packed (not on a CPU, another dtype), or a torch without oneDNN.
    """
    plain = [head for head in heads if type(head) is nn.Linear]
    linears = [part for module in modules for part in module.modules() if type(part) is nn.Linear]
    try:
        for linear in linears:
            pack(linear)
        for head in plain:
            head.forward = partial(_forward, head.weight, None, head.bias)  # type: ignore[method-assign]
        yield
    finally:
        for linear in (*linears, *plain):
            linear.__dict__.pop("forward", None)


def pack(linear: nn.Linear) -> None:
    """Replace ``linear.forward`` on this one instance; the weights themselves stay where they are.

    Raises:
        SetupError: as ``packed_linears``.
    """
    weight = linear.weight
    if weight.device.type != "cpu" or weight.dtype not in DTYPES:
        raise SetupError(
            f"weights can be packed on a CPU in float32 or bfloat16, these are {weight.dtype} on {weight.device}: "
            "leave packing off"
        )
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        raise SetupError(f"torch {torch.__version__} has no oneDNN linear layers here: leave packing off")
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    linear.forward = partial(_forward, linear.weight, packed, linear.bias)  # type: ignore[method-assign]


def _forward(weight: Tensor, packed: Tensor | None, bias: Tensor | None, states: Tensor) -> Tensor:
    if states.numel() == weight.shape[1]:
        return _one_row(states, weight, bias)
    if packed is None:
        return F.linear(states, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(states, packed, bias, "none", [], "")


def _one_row(row: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` of a single row [..., inputs]: parts of the weights, each times the row as a column.

    MKL reads float32 weights at half of the memory's speed and on one thread when it multiplies a matrix with a vector,
    at full speed and on all threads when it multiplies a batch of them; not where inputs outnumber outputs.
    """
    outputs, inputs = weight.shape
    if weight.dtype != torch.float32 or outputs % PARTS or inputs > outputs:
        return F.linear(row, weight, bias)
    column = row.view(1, inputs).T.expand(PARTS, inputs, 1)  # strides of a transpose: others are slow
    product = torch.bmm(weight.view(PARTS, -1, inputs), column).view(*row.shape[:-1], outputs)
    return product if bias is None else product + bias
