"""An aid: before the first word is read, the decoder's first layer learns what stands beside each vision token.

Which word stands left of a number, which above it: on documents, charts and diagrams every answer needs that one step,
and from answers alone a model this small learns it very slowly (docs/log.md). Only the first stock layer learns, with a
linear head that is thrown away.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.models.configs import text_config
from visor_eval.training.family import SIDE
from visor_eval.training.fitting import Group, fit, label_head
from visor_eval.training.labels import LabelSet, canvas_labels
from visor_eval.training.packed import PackedBatch, PackedModel
from visor_eval.training.stream import Stream


@dataclass(frozen=True, kw_only=True)
class NeighbourRecipe:
    """How the first layer is taught."""

    steps: int = 2400
    lr: float = 1e-3
    head_lr: float = 3e-3
    decay_share: float = 0.4  # linear to zero at the end
    change_penalty: float = 1.0  # on what the layer adds, against what it is given
    blank_weight: float = 0.1  # of a cell that shows nothing, against 1.1
    task_weights: tuple[tuple[str, float], ...] = tuple(
        (task, 4.0) for task in ("docvqa_val", "infovqa_val", "chartqa", "ai2d", "ocrbench")
    )  # others 1
    bfloat16: bool = True
    step_offset: int = 30_000_000  # so that these batches differ from those of other stages


def teach_neighbours(
    model: LlavaOnevisionForConditionalGeneration, stream: Stream, labels: LabelSet, recipe: NeighbourRecipe
) -> list[dict[str, float]]:
    """Train the first decoder layer alone, in place, and return the curve.

    What the layer adds is kept small against what it is given: without that penalty it was 17 times as long, and
    language training hardly found the words any more (docs/log.md).
    """
    packed = PackedModel(model, compute=torch.bfloat16 if recipe.bfloat16 else torch.float32)
    layer, device = model.model.language_model.layers[0], model.device
    head = label_head(text_config(model.config).hidden_size, 2 * len(labels.words), stream.seed).to(device)
    model.requires_grad_(False)
    learning = [*layer.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    weights = stream.weights(recipe.task_weights)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = stream.batch(recipe.step_offset + step, weights)
        given, (states,) = packed.vision_path(batch.packed, (1,))
        shown = canvas_labels(batch.items, labels).to(device)
        due, blank = beside(shown), shown.amax(-1) == 0
        logits = head(canvas(F.rms_norm(states, states.shape[-1:]), batch.packed))
        weight = recipe.blank_weight + (~blank).float()
        told = F.binary_cross_entropy_with_logits(logits, due, reduction="none").sum(-1)
        change = (states - given).square().mean() / given.square().mean()
        loss = (weight * told).sum() / weight.sum() + recipe.change_penalty * change
        with torch.no_grad():
            pairs = zip(due.chunk(2, dim=-1), logits.chunk(2, dim=-1), strict=True)
            left, above = (_share_told(*pair, ~blank) for pair in pairs)
        return loss, {"change": change.item(), "left": left, "above": above}

    groups: list[Group] = [
        {"params": learning, "lr": recipe.lr, "weight_decay": 0.0},
        {"params": [*head.parameters()], "lr": recipe.head_lr, "weight_decay": 0.0},
    ]
    curve = fit("neighbours", groups, loss_of, recipe.steps, decay_share=recipe.decay_share)
    model.requires_grad_(True)
    return curve


def canvas(states: Tensor, batch: PackedBatch) -> Tensor:
    """The canvas tokens among a batch's vision tokens, none of them reduced.

    Args:
        states: thumbnail, then rows that end with a newline [images, vision, hidden].
        batch: their layout.

    Returns:
        [images, cell rows, cell columns, hidden].
    """
    rows, columns = batch.rows * SIDE, batch.columns * SIDE
    return states[:, SIDE * SIDE :].unflatten(1, (rows, columns + 1))[:, :, :columns]


def beside(shown: Tensor) -> Tensor:
    """Labels of the nearest labelled cell to the left, then of the nearest above; none: zeros.

    Both stand before the cell in the sequence, so that causal attention can reach them.

    Args:
        shown: labels of each cell [images, rows, columns, labels].

    Returns:
        [images, rows, columns, 2 * labels].
    """
    return torch.cat([_nearest(shown, dim=2), _nearest(shown, dim=1)], dim=-1)


def _nearest(shown: Tensor, dim: int) -> Tensor:
    nearest, found = torch.zeros_like(shown.select(dim, 0)), []
    for cells in shown.unbind(dim):
        found.append(nearest)
        nearest = torch.where(cells.amax(-1, keepdim=True) > 0, cells, nearest)
    return torch.stack(found, dim)


def _share_told(due: Tensor, logits: Tensor, asked: Tensor) -> float:
    """Share of the asked cells with a neighbour of which the likeliest label is right."""
    has = asked & (due.amax(-1) > 0)
    right = due.gather(-1, logits.argmax(-1, keepdim=True))[..., 0] > 0
    return cast("float", right[has].float().mean().item())
