"""The router's training: pseudo-labels, then cross-entropy with everything else frozen.

Labels are made here in separate passes, or read from a file that `visor-eval oracle --labels` wrote; both by the rules
in `records/pseudo_labels.py`. They come from a slice of the *training* split, here under seeds that language training
does not use, there under `--slice_seed`; evaluation samples never enter (tests/training proves it over scene hashes).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from visor_eval.records.pseudo_labels import PER_DATASET, PseudoLabels, cheapest_equal, cheapest_reaching
from visor_eval.training.evaluate import Tally, evaluate, evaluation_batches, row_hits
from visor_eval.training.labelled import LabelledQuestions, task_indices
from visor_eval.training.loop import Member, plan_name
from visor_eval.training.packed import IGNORED, PackedModel, StepPlan
from visor_eval.training.recipes import Configuration, RouterRecipe
from visor_eval.training.stream import ROUTER_SEED_OFFSET, Batch, QuestionTokens, Stream

log = logging.getLogger(__name__)
LABELLED_IMAGES = 3  # labelled images ask one question each, the stream's six: so many times as many per batch


@dataclass(frozen=True, kw_only=True)
class RouterLabels:
    """The per-dataset rule's outcome."""

    by_task: dict[str, int]  # index of the configuration
    accuracy: dict[str, dict[str, Tally]]  # plan name -> task -> tally on the label slice


def router_stream(tokens: QuestionTokens, tasks: Sequence[str], recipe: RouterRecipe) -> Stream:
    """The held-out slice of the training split."""
    seed = recipe.seed + ROUTER_SEED_OFFSET
    return Stream(tokens, tuple(tasks), "train", seed, recipe.images, recipe.questions)


def label_tasks(
    packed: PackedModel, stream: Stream, recipe: RouterRecipe, configurations: Sequence[Configuration]
) -> RouterLabels:
    """Pseudo-labels by the paper's per-dataset rule."""
    assert packed.visor is not None
    plans = {plan_name(each): StepPlan.of(packed.visor, each) for each in configurations}
    found = evaluate(packed, evaluation_batches(stream, recipe.label_images), plans)
    full = max(range(len(configurations)), key=lambda index: len(configurations[index]))
    by_task = {}
    for task in stream.tasks:
        scores = [found[plan_name(each)][task].accuracy for each in configurations]
        by_task[task] = cheapest_reaching(scores, full, recipe.target)
        log.info(
            "router label %s -> %s (%.3f of %.3f)",
            task,
            configurations[by_task[task]],
            scores[by_task[task]],
            scores[full],
        )
    return RouterLabels(by_task=by_task, accuracy=found)


@torch.no_grad()
def label_samples(packed: PackedModel, batch: Batch, configurations: Sequence[Configuration]) -> Tensor:
    """The per-sample rule: per question row the cheapest configuration as right as the full one; -100 for padding."""
    assert packed.visor is not None
    visor = packed.visor
    full = max(range(len(configurations)), key=lambda index: len(configurations[index]))
    hits = [
        row_hits(batch.packed.labels, *packed.answer_logits(batch.packed, StepPlan.of(visor, each)))
        for each in configurations
    ]
    labels = []
    for row, reference in enumerate(hits[full]):
        if reference is None:
            labels.append(-100)
        else:
            labels.append(cheapest_equal([float(bool(marks[row])) for marks in hits], full))
    return torch.tensor(labels)


def routing_logits(packed: PackedModel, batch: Batch, tokens: QuestionTokens) -> Tensor:
    """Router logits per question row [images * questions, configurations]; padding rows are meaningless."""
    visor, device = packed.visor, packed.device
    assert visor is not None, "a router belongs to VISOR modules"
    assert visor.router is not None, "these VISOR modules have no router"
    prompts = [tokens.prompt(question) if question else tokens.before for question in batch.questions]
    width = max(len(prompt) for prompt in prompts) + 1
    ends = torch.tensor([len(prompt) for prompt in prompts], device=device)
    ids = torch.tensor([[*prompt, *[tokens.pad] * (width - len(prompt))] for prompt in prompts], device=device)
    embeds = packed.model.get_input_embeddings()(ids).detach()
    rows = torch.arange(len(prompts), device=device)
    place = F.one_hot(ends, width)[..., None].to(embeds.dtype)
    embeds = embeds * (1 - place) + place * visor.router.token  # the routing token stands right after the prompt
    images = len(batch.items)
    routed = replace(
        batch.packed,
        tokens=ids.view(images, -1, width),
        labels=torch.full((images, ids.shape[0] // images, width), IGNORED, device=device),
    )
    shared = set.intersection(*map(set, visor.config.configurations))  # the layers before the first choice
    plan = StepPlan.of(visor, tuple(shared))
    states = packed.hidden(routed, plan, embeds=embeds, depth=visor.config.probe_layer)
    return visor.router(states[rows, ends])


def train_router(
    member: Member,
    recipe: RouterRecipe,
    tokens: QuestionTokens,
    tasks: Sequence[str],
    given: PseudoLabels | None = None,
) -> tuple[RouterLabels, list[dict[str, float]]]:
    """Label, then train the routing token and its MLP; returns the labels and the curve.

    Args:
        member: with VISOR modules and a router.
        recipe: how to label and train.
        tokens: tokenises questions.
        tasks: to train on, but for the recipe's exclusions.
        given: labels from a file, instead of the recipe's rule.

    Raises:
        SetupError: ``given`` does not fit the model or the tasks.
    """
    visor = member.visor
    assert visor is not None, "a router belongs to VISOR modules"
    assert visor.router is not None, "build VisorModules with router=True"
    configurations = visor.config.configurations
    included = [task for task in tasks if task not in recipe.excluded]
    stream = router_stream(tokens, included, recipe)
    packed = PackedModel(member.model, visor)
    source: LabelledQuestions | None = None
    rule = recipe.rule if given is None else "dataset"
    if given is None:
        labels = label_tasks(packed, stream, recipe, configurations)
    elif given.rule == PER_DATASET:
        labels = RouterLabels(by_task=task_indices(given, configurations, included), accuracy={})
    else:
        labels = RouterLabels(by_task={}, accuracy={})
        images = LABELLED_IMAGES * recipe.images
        source = LabelledQuestions(given, configurations, tokens, included, images=images, seed=recipe.seed)
    for module in (member.model, visor):
        module.requires_grad_(False)
    visor.router.requires_grad_(True)
    learnt = list(visor.router.parameters())
    optimizer = torch.optim.AdamW(learnt, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    curve, started = [], time.monotonic()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / 20) * (1 - step / recipe.steps)
        if source is None:
            batch = stream.batch(step)
            target = _targets(packed, batch, rule, labels.by_task, configurations)
        else:
            batch, target = source.batch(step)
        target = target.to(packed.device)
        logits = routing_logits(packed, batch, tokens)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == recipe.steps - 1:
            due = target >= 0
            agreement = (logits.argmax(-1) == target)[due].float().mean().item()
            row = {"step": step, "loss": loss.item(), "agreement": agreement, "seconds": time.monotonic() - started}
            curve.append(row)
            log.info("router %s", " ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return labels, curve


def _targets(
    packed: PackedModel,
    batch: Batch,
    rule: str,
    by_task: Mapping[str, int],
    configurations: Sequence[Configuration],
) -> Tensor:
    if rule == "sample":
        return label_samples(packed, batch, configurations)
    if rule != "dataset":
        raise ValueError(f"unknown router rule {rule!r}; use 'dataset' or 'sample'")
    return torch.tensor([by_task[question.task] if question else -100 for question in batch.questions])
