"""Encoder pretraining on local labels, then alignment of the projector with the token embeddings.

Both are short. Without them a model this small learns nothing on a CPU (docs/log.md; the prototype found the same).
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from visor_eval.models.configs import text_config
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.training.family import SIDE
from visor_eval.training.fitting import Group, fit, label_head
from visor_eval.training.labels import LabelSet, cell_labels
from visor_eval.training.stream import Stream


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe:
    """Both short stages."""

    pretrain_steps: int = 1500
    align_steps: int = 500
    task_weights: tuple[tuple[str, float], ...] = (("textvqa_val", 4.0), ("docvqa_val", 2.0))  # others 1: rare words
    images: int = 24  # per step, single-tile; fewer for larger layouts
    lr: float = 2e-3
    feature_penalty: float = 0.02
    weight_decay: float = 0.01
    position_share: float = 0.5  # size of the position code against a word embedding
    step_offset: int = 10_000_000  # so that these batches differ from language training's

    def group(self, parameters: list[nn.Parameter]) -> Group:
        """How ``parameters`` are optimised."""
        return {"params": parameters, "lr": self.lr, "weight_decay": self.weight_decay}


def related_embeddings(
    model: LlavaOnevisionForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, noise: float = 0.3, seed: int = 0
) -> None:
    """Start ``word``, `` word`` and ``Word`` from nearly the same embedding, in place."""
    generator = torch.Generator().manual_seed(seed)
    table = embedding_table(model)
    first: dict[str, int] = {}
    for token in range(len(tokenizer)):
        key = str(tokenizer.decode([token])).strip().lower()
        if not key.isalpha() or len(key) < 2:
            continue
        root = first.setdefault(key, token)
        if root != token:
            fresh = torch.randn(table.shape[1], generator=generator) * table[root].std()
            table[token] = (table[root] + noise * fresh) / (1 + noise**2) ** 0.5


def embedding_table(model: LlavaOnevisionForConditionalGeneration) -> Tensor:
    """The token embeddings themselves, without their gradient [vocabulary, hidden]."""
    return cast("nn.Embedding", model.get_input_embeddings()).weight.detach()


def pretrain_encoder(
    model: LlavaOnevisionForConditionalGeneration, stream: Stream, labels: LabelSet, recipe: EncoderRecipe
) -> list[dict[str, float]]:
    """Train tower and projector together on what each patch shows; returns the curve.

    Two losses: a linear head (thrown away) tells the labels from the tower's features, and the projector's output is
    fitted to the token embeddings of the labels plus a row + column code, which also keeps positions alive in the
    tower. A small penalty keeps its features at unit scale: without it they grew to a norm that the projector could
    not be fitted to (docs/log.md).
    """
    tower, backbone, device = model.model.vision_tower, LlavaOnevision(model), model.device
    target_of = AlignmentTarget(model, stream, labels, recipe)
    head = label_head(tower.config.hidden_size, len(labels.words), stream.seed).to(device)
    parameters = [*tower.parameters(), *model.model.multi_modal_projector.parameters(), *head.parameters()]

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = stream.batch(recipe.step_offset + step, stream.weights(recipe.task_weights))
        shown = cell_labels(batch.items, labels).flatten(0, 1).to(device)
        features, _ = backbone.tower(batch.packed.pixels.flatten(0, 1).to(device))
        logits = head(features)
        read = F.binary_cross_entropy_with_logits(logits, shown, reduction="none").sum(-1).mean()
        error = target_of.error(model.model.multi_modal_projector(features), shown)
        loss = read + error + recipe.feature_penalty * features.square().mean()
        with torch.no_grad():  # a sub-tile patch counts as read when all its labels are right and it has some
            native = torch.arange(shown.shape[0], device=device) % batch.packed.pixels.shape[1] > 0
            right = ((logits > 0) == (shown > 0.5)).all(-1)[native]
            some = (shown > 0.5).any(-1)[native]
        return loss, {"cell_accuracy": right[some].float().mean().item(), "unexplained": error.item()}

    return fit("encoder", [recipe.group(parameters)], loss_of, recipe.pretrain_steps)


def align_projector(
    model: LlavaOnevisionForConditionalGeneration, stream: Stream, labels: LabelSet, recipe: EncoderRecipe
) -> list[dict[str, float]]:
    """Fit the projector alone, the tower frozen, to the same target (LLaVA's stage 1 in miniature)."""
    inner, backbone = model.model, LlavaOnevision(model)
    target_of = AlignmentTarget(model, stream, labels, recipe)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = stream.batch(2 * recipe.step_offset + step, stream.weights(recipe.task_weights))
        with torch.no_grad():
            features, _ = backbone.tower(batch.packed.pixels.flatten(0, 1).to(model.device))
        shown = cell_labels(batch.items, labels).flatten(0, 1).to(model.device)
        error = target_of.error(inner.multi_modal_projector(features), shown)
        return error, {"unexplained": error.item()}

    return fit("align", [recipe.group([*inner.multi_modal_projector.parameters()])], loss_of, recipe.align_steps)


class AlignmentTarget:
    """What a vision token should look like: the embeddings of the words it shows plus a row + column code."""

    def __init__(
        self,
        model: LlavaOnevisionForConditionalGeneration,
        stream: Stream,
        labels: LabelSet,
        recipe: EncoderRecipe,
    ) -> None:
        """Take the words' embeddings as they are now; the position code depends on the stream's seed only."""
        width, table = text_config(model.config).hidden_size, embedding_table(model)
        self.words = labels.embeddings(table, stream.tokens)
        generator = torch.Generator().manual_seed(stream.seed)
        rows = torch.randn(SIDE, 1, width, generator=generator)
        columns = torch.randn(1, SIDE, width, generator=generator)
        places = (rows + columns).to(table.device)
        self.places = places.mul(self.words.std() * recipe.position_share).reshape(SIDE * SIDE, width)
        self.seen = torch.ones(len(labels.words), device=table.device)  # running count of each label, for the balance
        self.cells = 1.0

    def error(self, projected: Tensor, shown: Tensor) -> Tensor:
        """Unexplained share of the target's variance, every label counting about the same however rare it is.

        Unbalanced, the common colours and digits were aligned and the rare words not at all (docs/log.md).

        Args:
            projected: [tiles, patches, hidden].
            shown: [tiles, patches, labels].
        """
        self.seen += shown.sum((0, 1))
        self.cells += shown.shape[0] * shown.shape[1]
        rarity = (self.cells / self.seen).sqrt()  # [labels]
        weight = (shown * rarity).amax(-1).clamp(min=1.0)[..., None]
        target = shown @ self.words + self.places
        mean = (weight * target).sum((0, 1)) / weight.sum()
        return (weight * (projected - target).square()).mean() / (weight * (target - mean).square()).mean()
