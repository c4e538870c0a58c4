"""An aid: the vision tower learns to attend to what its tile shows, so that reducers can choose tokens by attention.

VisionZip, VisPruner and HiRED keep the patches that receive most attention. A tower that has learnt single cells only
looks away from what it shows (docs/log.md); one that must tell what the whole tile shows has to look there, as SigLIP's
tower does for its captions. Only the tower learns, with a linear head that is thrown away, and the projector's output
stays where it was, so that decoders work on the new tower as they are.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.core.tokens import Need
from visor_eval.models.capture import TowerCapture
from visor_eval.models.configs import used_blocks, vision_config
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.training.fitting import Group, fit, label_head
from visor_eval.training.labels import LabelSet, cell_labels
from visor_eval.training.stream import Batch, Stream

KEPT = 9  # of a tile's 49 patches: about what VisionZip (9) and VisPruner (8) keep on the embedded family
SCORES: frozenset[Need] = frozenset({"scores"})


@dataclass(frozen=True, kw_only=True)
class AttentionRecipe:
    """How the tower is taught where to look."""

    steps: int = 2400
    lr: float = 2e-3
    head_lr: float = 3e-3
    told_weight: float = 0.02  # against holding: at 0.1 the output moved by 10 % of its variance (docs/log.md)
    task_weights: tuple[tuple[str, float], ...] = ()  # others 1
    step_offset: int = 50_000_000  # so that these batches differ from those of other stages


def teach_attention(
    model: LlavaOnevisionForConditionalGeneration, stream: Stream, labels: LabelSet, recipe: AttentionRecipe
) -> list[dict[str, float]]:
    """Train the tower alone, in place, and return the curve.

    Two losses: what the projector makes of the tower's features is held where it was, and every patch tells which words
    its tile shows. Queries and keys are drawn anew, as in the trial that found this (docs/log.md).

    Args:
        model: its tower and projector are trained and aligned.
        stream: training data; its seed draws the queries and keys.
        labels: what a tile can show.
        recipe: how.

    Returns:
        One row per hundred steps, about that step's batch: "held", the share of the variance of the projector's
        former output that the present one leaves unexplained, and "found", ``share_found`` of the sub-tiles.
    """
    device, tower, projector = model.device, model.model.vision_tower, model.model.multi_modal_projector
    former, backbone = LlavaOnevision(deepcopy(model).requires_grad_(False)), LlavaOnevision(model)
    learnt = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    tower.requires_grad_(True)
    draw_queries_and_keys(model, stream.seed)
    head = label_head(vision_config(model.config).hidden_size, len(labels.words), stream.seed).to(device)
    nn.init.zeros_(head.weight)
    weights = stream.weights(recipe.task_weights)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = stream.batch(recipe.step_offset + step, weights)
        shown = cell_labels(batch.items, labels).flatten(0, 1).to(device)
        pixels = batch.packed.pixels.flatten(0, 1).to(device)
        features, capture = backbone.tower(pixels, SCORES)
        target = projector(former.tower(pixels)[0])
        held = unexplained(projector(features), target)
        due = shown.amax(1, keepdim=True).expand(-1, features.shape[1], -1)  # a thumbnail's: the largest shares
        told = F.binary_cross_entropy_with_logits(head(features), due, reduction="none").sum(-1).mean()
        with torch.no_grad():
            scores = received(capture, len(pixels))
        found = share_found(sub_tiles(scores, batch), sub_tiles(shown, batch))
        return held + recipe.told_weight * told, {"held": held.item(), "told": told.item(), "found": found}

    groups: list[Group] = [
        {"params": [*tower.parameters()], "lr": recipe.lr, "weight_decay": 0.0},
        {"params": [*head.parameters()], "lr": recipe.head_lr, "weight_decay": 0.0},
    ]
    curve = fit("attention", groups, loss_of, recipe.steps)
    for parameter, before in learnt:
        parameter.requires_grad_(before)
    return curve


@torch.no_grad()
def draw_queries_and_keys(model: LlavaOnevisionForConditionalGeneration, seed: int) -> None:
    """Start the query and key projections of the tower's used blocks anew, in place, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for block in list(model.model.vision_tower.encoder.layers)[: used_blocks(model.config)]:
        for projection in (block.self_attn.q_proj, block.self_attn.k_proj):
            weight = cast("Tensor", projection.weight)
            weight.copy_(torch.randn(weight.shape, generator=generator) * weight.shape[1] ** -0.5)
            nn.init.zeros_(cast("Tensor", projection.bias))


def unexplained(found: Tensor, target: Tensor) -> Tensor:
    """Squared error against the target's variance over all tokens; both [tiles, patches, hidden], returns []."""
    return (found - target).square().mean() / (target - target.mean((0, 1))).square().mean()


def received(capture: TowerCapture, tiles: int) -> Tensor:
    """What reducers get as ``scores`` of a tower pass over ``tiles`` tiles [tiles, patches]."""
    return capture.of_image(slice(0, tiles))["scores"]


def sub_tiles(of_tiles: Tensor, batch: Batch) -> Tensor:
    """Without the thumbnails, whose patches cover several cells [all tiles, ...] -> [sub-tiles, ...]."""
    return of_tiles.unflatten(0, batch.packed.pixels.shape[:2])[:, 1:].flatten(0, 1)


def share_found(scores: Tensor, shown: Tensor, kept: int = KEPT) -> float:
    """Share of the patches that show something which are among the best ``kept`` of their tile.

    By chance it is ``kept / patches``; where a tile has more such patches than are kept, not all can be found.

    Args:
        scores: attention that each patch receives [tiles, patches].
        shown: labels of each patch, 0 where it does not show a word [tiles, patches, labels].
        kept: patches per tile.

    Returns:
        Between 0 and 1; not a number where nothing is shown.
    """
    labelled = (shown.amax(-1) > 0).float()
    best = scores.topk(kept, dim=-1).indices
    return (labelled.gather(-1, best).sum() / labelled.sum()).item()
