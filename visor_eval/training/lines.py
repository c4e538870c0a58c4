"""An aid: the decoder's layers that update vision tokens learn to follow a line, one cell per layer.

On a line every cell points back to the one it comes from. A vision token that copies, in each layer that updates it,
what the cell it points to knows of the line's label and its own distance from it, knows both after as many layers as it
stands cells away, in every configuration alike. From answers alone no configuration learnt a second step (docs/log.md).
One linear head, the same behind every layer and thrown away, tells both; the circle at a bar's end comes to show the
bar's label and length as printed words are shown, by their embeddings. What the layers make of other images is held.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.training.encoder import embedding_table
from visor_eval.training.fitting import Group, fit, label_head
from visor_eval.training.labels import LabelSet, canvas_labels
from visor_eval.training.neighbours import canvas
from visor_eval.training.packed import PackedModel
from visor_eval.training.stream import Batch, QuestionTokens, Stream, pack_items
from visor_eval.visor.config import VisorConfig
from visor_tasks.mini import HARD, Item, stream_item
from visor_tasks.mini.lines import TEMPLATES
from visor_tasks.mini.wording import FIELDS, GOODS

NAMES = (*FIELDS, *GOODS)  # what stands at the beginning of a line
DIGITS = tuple("0123456789")
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class LinesRecipe:
    """How the layers are taught."""

    steps: int = 600
    images: int = 6  # with lines, per step; and as many of other kinds as the stage's stream gives
    lr: float = 1e-3
    head_lr: float = 3e-3
    decay_share: float = 0.4  # linear to zero at the end
    hold: float = 1.0  # weight of the change of other images' states, against their size
    largest_share: float = 0.3  # steps in the largest configuration; the others draw any
    step_offset: int = 60_000_000  # so that these batches differ from those of other stages


def teach_lines(
    model: LlavaOnevisionForConditionalGeneration,
    config: VisorConfig,
    stream: Stream,
    recipe: LinesRecipe,
    *,
    dense: bool = False,
    compute: torch.dtype = torch.bfloat16,
    compiled: bool = True,
) -> list[dict[str, float]]:
    """Train the layers that may update vision tokens, in place, and return the curve.

    Args:
        model: stock model of a member.
        config: its candidate layers and configurations.
        stream: training data; what the layers make of it is held.
        recipe: how.
        dense: every layer runs on the vision tokens, not those of a configuration; the candidates learn all the same.
        compute: of matrix products.
        compiled: whether layers are compiled.
    """
    inner, labels, seed = model.model.language_model, LabelSet.default(), stream.seed
    packed = PackedModel(model, compute=compute, compiled=compiled)
    model.requires_grad_(False)
    before = PackedModel(copy.deepcopy(model), compute=compute, compiled=compiled)
    learning = [parameter for number in config.candidates for parameter in inner.layers[number - 1].parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    tell = Telling.of(model, labels, stream, len(config.candidates))

    def path_of(step: int) -> tuple[int, ...]:
        if dense:
            return tuple(range(1, len(inner.layers) + 1))
        draw = random.Random(f"lines/{seed}/{step}")
        return config.largest if draw.random() < recipe.largest_share else draw.choice(config.configurations)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        path = path_of(step)
        batch = with_lines(stream.tokens, seed, step, recipe.images)
        _, states = packed.vision_path(batch.packed, path)
        reached = [state for number, state in zip(path, states, strict=True) if number in config.candidates]
        states = [canvas(each, batch.packed) for each in reached]
        told, right = tell.loss(states, canvas_labels(batch.items, labels).to(model.device), labels)
        other = stream.batch(recipe.step_offset + step).packed
        with torch.no_grad():
            vision, held = before.vision_path(other, path)
        _, mine = packed.vision_path(other, path, vision)
        changes = [(now - due).square().mean() / due.square().mean() for now, due in zip(mine, held, strict=True)]
        change = torch.stack(changes).mean()
        return told + recipe.hold * change, {"change": change.item(), "right": right, "layers": float(len(path))}

    groups: list[Group] = [
        {"params": learning, "lr": recipe.lr, "weight_decay": 0.0},
        {"params": [*tell.head.parameters(), tell.scale], "lr": recipe.head_lr, "weight_decay": 0.0},
    ]
    curve = fit("lines", groups, loss_of, recipe.steps, decay_share=recipe.decay_share)
    model.requires_grad_(True)
    return curve


@dataclass(frozen=True, kw_only=True)
class Telling:
    """How a vision token on a line tells its label and how far it is: logits of ``NAMES``, then of 1, 2, ... cells."""

    head: nn.Linear  # of every cell but the circles, the same behind every layer
    words: Tensor  # embeddings of the names and the digits, which a circle shows [names + distances, hidden]
    scale: nn.Parameter  # of a circle's logits

    @classmethod
    def of(
        cls, model: LlavaOnevisionForConditionalGeneration, labels: LabelSet, stream: Stream, farthest: int
    ) -> "Telling":
        """For distances up to ``farthest`` cells."""
        said = (*NAMES, *(str(cells) for cells in range(1, farthest + 1)))
        words = labels.embeddings(embedding_table(model), stream.tokens)[labels.columns(said)]
        head = label_head(words.shape[1], len(said), stream.seed, bias=0.0).to(model.device)
        return cls(head=head, words=words, scale=nn.Parameter(torch.ones((), device=model.device)))

    def loss(self, states: Sequence[Tensor], shown: Tensor, labels: LabelSet) -> tuple[Tensor, float]:
        """Mean cross-entropy of what can be known, and the share told rightly after the last layer.

        Args:
            states: behind the first, second, ... layer that updates vision tokens [images, rows, columns, hidden].
            shown: labels of each cell [images, rows, columns, labels].
            labels: what the columns of ``shown`` mean.
        """
        steps, circle = along(shown, labels, len(states)), shown[..., labels.places["circle"]] > 0
        distance = torch.stack([known == UNKNOWN for known in steps]).sum(0)
        total, right = torch.zeros((), device=shown.device), 1.0
        for known, state in zip(steps[1:], states, strict=True):
            asked = (known != UNKNOWN) & (steps[0] == UNKNOWN)
            found = F.rms_norm(state[asked], state.shape[-1:])
            told = torch.where(circle[asked][:, None], self.scale * found @ self.words.T, self.head(found))
            names, cells = told[:, : len(NAMES)], told[:, len(NAMES) :]
            name, away = known[asked], distance[asked] - 1
            total = total + F.cross_entropy(names, name) + F.cross_entropy(cells, away)
            right = ((names.argmax(-1) == name) & (cells.argmax(-1) == away)).float().mean().item()
        return total / len(states), right


def with_lines(tokens: QuestionTokens, seed: int, step: int, images: int) -> Batch:
    """Training images that hold lines, a pure function of (seed, step)."""
    draw, items = random.Random(f"with lines/{seed}/{step}"), list[Item]()
    while len(items) < images:
        item = stream_item("train", draw.choice(HARD), seed, draw.randrange(2**31), questions=1)
        if item.questions[0].template.startswith(TEMPLATES):
            items.append(item)
    return pack_items(items, tokens, 1)


def along(shown: Tensor, labels: LabelSet, steps: int) -> list[Tensor]:
    """What every cell can know of its line's label after 0, 1, ... ``steps`` layers.

    A name knows itself. An arrow takes what the cell it points to knew a layer before, a digit or the circle at the end
    of a bar what the one to its left knew.

    Args:
        shown: labels of each cell [images, rows, columns, labels].
        labels: what the columns of ``shown`` mean.
        steps: layers.

    Returns:
        ``steps + 1`` times the place of the name in ``NAMES``, or ``UNKNOWN`` [images, rows, columns].
    """
    names = shown[..., labels.columns(NAMES)]
    itself = torch.where(names.amax(-1) > 0, names.argmax(-1), UNKNOWN)
    from_above = shown[..., labels.places["up"]] > 0
    from_left = shown[..., labels.columns(("left", "circle", *DIGITS))].amax(-1) > 0
    found = [itself]
    for _ in range(steps):
        known = found[-1]
        left = F.pad(known, (1, 0), value=UNKNOWN)[..., :-1]
        above = F.pad(known, (0, 0, 1, 0), value=UNKNOWN)[:, :-1]
        taken = torch.where(from_left, left, torch.where(from_above, above, UNKNOWN))
        found.append(cast("Tensor", torch.where(itself == UNKNOWN, taken, itself)))
    return found
