"""The loop of the short stages before language training: AdamW on a loss that is a function of the step."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)
START_BIAS = -4.0  # of heads that tell labels: few are true of a cell


def label_head(width: int, labels: int, seed: int, bias: float = START_BIAS) -> nn.Linear:
    """A linear head that is thrown away later, the same for the same seed [..., width] -> [..., labels]."""
    head = nn.Linear(width, labels)
    nn.init.normal_(head.weight, std=width**-0.5, generator=torch.Generator().manual_seed(seed))
    nn.init.constant_(head.bias, bias)
    return head


class Group(TypedDict):
    """Parameters with one learning rate and one weight decay."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def fit(
    name: str,
    groups: Sequence[Group],
    loss_of: Callable[[int], tuple[Tensor, dict[str, float]]],
    steps: int,
    *,
    decay_share: float = 1.0,
    report_every: int = 100,
) -> list[dict[str, float]]:
    """AdamW with a warm-up and one linear decay; ``loss_of(step)`` gives the loss and what to report."""
    optimizer = torch.optim.AdamW([dict(group) for group in groups], betas=(0.9, 0.98), fused=True)
    parameters = [parameter for group in groups for parameter in group["params"]]
    curve, started = [], time.monotonic()
    for step in range(steps):
        left = (steps - step) / (steps * decay_share)
        for live, given in zip(optimizer.param_groups, groups, strict=True):
            live["lr"] = given["lr"] * min(1.0, (step + 1) / 50) * min(1.0, left)
        loss, extra = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % report_every == 0 or step == steps - 1:
            row = {"step": step, "loss": loss.item(), **extra, "seconds": time.monotonic() - started}
            curve.append(row)
            log.info("%s %s", name, " ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return curve
