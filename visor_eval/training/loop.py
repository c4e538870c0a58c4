"""The language training loop: universal and dense members, resumable, everything drawn from (seed, step)."""

import csv
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlavaOnevisionForConditionalGeneration

from visor_eval.training.aids import is_aid
from visor_eval.training.evaluate import Tally, evaluate, evaluation_batches, row_hits
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.recipes import Configuration, LanguageRecipe
from visor_eval.training.state import Progress, load_state, save_state
from visor_eval.training.stream import Stream
from visor_eval.visor.modules import VisorModules
from visor_tasks.mini import Question

log = logging.getLogger(__name__)
SMOOTHING = 0.98  # of the per-task training accuracy, per batch that holds the task


@dataclass
class Member:
    """One model of the family while it is trained."""

    model: LlavaOnevisionForConditionalGeneration
    visor: VisorModules | None

    def __post_init__(self) -> None:
        """Freeze the tower; everything else learns."""
        self.model.model.vision_tower.requires_grad_(False)
        if self.visor is not None and self.visor.router is not None:
            self.visor.router.requires_grad_(False)

    @property
    def depth(self) -> int:
        """Decoder layers."""
        return len(self.model.model.language_model.layers)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Trainable parameters by name, tied ones once."""
        named = {f"model.{name}": parameter for name, parameter in self.model.named_parameters()}
        if self.visor is not None:
            named |= {f"visor.{name}": parameter for name, parameter in self.visor.named_parameters()}
        return {name: parameter for name, parameter in named.items() if parameter.requires_grad}

    def plans(self, configurations: Sequence[Configuration]) -> dict[str, StepPlan]:
        """Named plans: every configuration, cross-attention only, dense."""
        named = {"dense": StepPlan.dense(self.depth)}
        if self.visor is not None:
            read = self.visor.config.read_layers
            named |= {"cross_only": StepPlan.sparse((), read)}
            named |= {plan_name(each): StepPlan.sparse(each, read) for each in configurations}
        return named


def plan_name(configuration: Configuration) -> str:
    """``1-4-7`` for (1, 4, 7)."""
    return "-".join(map(str, configuration))


def build_optimizer(parameters: Mapping[str, nn.Parameter], recipe: LanguageRecipe) -> torch.optim.AdamW:
    """Weight decay on matrices only: not on norms, biases, convolutions, gates.

    Projector and embeddings were aligned with each other and move slowly: at full rate rare words lost their alignment
    (docs/log.md).
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        aligned = any(part in name for part in ("multi_modal_projector", "image_newline", "embed_tokens"))
        groups.setdefault((aligned, parameter.ndim == 2 and not aligned), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "weight_decay": recipe.weight_decay if matrix else 0.0,
                "lr_scale": recipe.aligned_lr_scale if aligned else 1.0,
            }
            for (aligned, matrix), members in groups.items()
        ],
        lr=recipe.lr,
        betas=recipe.betas,
        fused=True,
    )


def plan_of(recipe: LanguageRecipe, step: int, member: Member) -> StepPlan:
    """The step's layer plan, drawn from (seed, step)."""
    draw = random.Random(f"plan/{recipe.seed}/{step}")
    kind = draw.random()
    if kind < recipe.dense_share:
        return StepPlan.dense(member.depth)
    assert member.visor is not None, "sparse steps need VISOR modules"
    config = member.visor.config
    if kind < recipe.dense_share + recipe.cross_only_share:
        return StepPlan.sparse((), config.read_layers)
    return StepPlan.sparse(draw.choice(config.configurations), config.read_layers)


def task_weights(
    recipe: LanguageRecipe, tasks: Sequence[str], accuracy: Mapping[str, float], step: int
) -> dict[str, float]:
    """Relative frequency of each task: the phase's weights, and more of what is not learnt yet."""
    phase = recipe.phase_at(step)
    weights = dict(phase.weights)
    return {
        task: weights.get(task, phase.others)
        * (recipe.floor_weight + 1.0 - accuracy.get(task, 0.0) if phase.adaptive else 1.0)
        for task in tasks
    }


def train(member: Member, recipe: LanguageRecipe, stream: Stream, dev: Stream | None, folder: Path) -> Progress:
    """Run or resume ``recipe``; state, curve and evaluations go to ``folder``.

    Args:
        member: what to train, in place.
        recipe: how.
        stream: training data.
        dev: evaluation data (the dev split), or None for no evaluation.
        folder: ``state.safetensors`` there is resumed from if it exists.
    """
    parameters = member.parameters()
    optimizer = build_optimizer(parameters, recipe)
    progress = Progress(accuracy=dict.fromkeys(stream.tasks, 0.0))
    state = folder / "state.safetensors"
    if state.exists():
        progress = load_state(state, parameters, optimizer)
        progress.accuracy = dict.fromkeys(stream.tasks, 0.0) | progress.accuracy
        for name in ("curve.csv", "dev.csv"):
            forget_later(folder / name, progress.step)
        log.info("%s: resumed after step %d", recipe.name, progress.step)
    compute = torch.bfloat16 if recipe.bfloat16 else torch.float32
    packed = PackedModel(member.model, member.visor, compute, recipe.compiled)
    judge = PackedModel(member.model, member.visor, compute)
    batches = evaluation_batches(dev, recipe.evaluation_images) if dev else []
    losses: list[float] = []
    while progress.step < recipe.steps:
        started, step = time.monotonic(), progress.step
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step) * group["lr_scale"]
        phase = recipe.phase_at(step)
        weights = task_weights(recipe, stream.tasks, progress.accuracy, step)
        batch = stream.batch(step, weights, phase.asks if phase.selects else None, phase.aids)
        logits, labels = packed.answer_logits(batch.packed, plan_of(recipe, step, member))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), recipe.clip)
        optimizer.step()
        losses.append(loss.item())
        hits = row_hits(batch.packed.labels, logits.detach(), labels)
        _smooth(progress.accuracy, batch.questions, hits)
        progress.step += 1
        progress.images += len(batch.items)
        progress.questions += sum(hit is not None for hit in hits)
        progress.seconds += time.monotonic() - started
        if progress.step % recipe.report_every == 0:
            _report(folder, recipe, progress, sum(losses) / len(losses))
            losses.clear()
        if batches and progress.step % recipe.evaluate_every == 0:
            write_evaluation(folder, recipe.name, progress.step, evaluate(judge, batches, _watched(member)))
        if progress.step % recipe.save_every == 0 or progress.step == recipe.steps:
            save_state(state, parameters, optimizer, progress)
    return progress


def _smooth(accuracy: dict[str, float], questions: Sequence[Question | None], hits: Sequence[bool | None]) -> None:
    """Update the per-task running accuracy with one batch."""
    seen: dict[str, list[bool]] = {}
    for question, hit in zip(questions, hits, strict=True):
        if question is not None and hit is not None and not is_aid(question):
            seen.setdefault(question.task, []).append(hit)
    for task, marks in seen.items():
        mean = sum(marks) / len(marks)
        accuracy[task] = SMOOTHING * accuracy[task] + (1 - SMOOTHING) * mean


def _watched(member: Member) -> dict[str, StepPlan]:
    """The plans evaluated on the way: a few, since evaluation costs training time."""
    if member.visor is None:
        return member.plans(())
    configurations = member.visor.config.configurations
    chosen = (configurations[0], configurations[len(configurations) // 2], member.visor.config.largest)
    return member.plans(chosen)


def _report(folder: Path, recipe: LanguageRecipe, progress: Progress, loss: float) -> None:
    row = {
        "step": progress.step,
        "seconds": round(progress.seconds, 1),
        "images": progress.images,
        "questions": progress.questions,
        "lr": recipe.lr_at(progress.step - 1),
        "loss": round(loss, 4),
        **{task: round(value, 4) for task, value in sorted(progress.accuracy.items())},
    }
    _append(folder / "curve.csv", row)
    log.info(
        "%s step %d/%d loss %.3f %.1f images/s %.0f questions/s left %.0f min | %s",
        recipe.name, progress.step, recipe.steps, loss, progress.images / progress.seconds,
        progress.questions / progress.seconds,
        (recipe.steps - progress.step) * progress.seconds / progress.step / 60,
        " ".join(f"{task.split('_')[0]} {100 * value:.0f}" for task, value in sorted(progress.accuracy.items())),
    )  # fmt: skip


def write_evaluation(folder: Path, name: str, step: int, found: Mapping[str, Mapping[str, Tally]]) -> None:
    """Append one row per plan and task (or template) to ``dev.csv`` and log the tasks."""
    for plan, tallies in found.items():
        for key, tally in tallies.items():
            row = {"step": step, "plan": plan, "task": key, "right": tally.right, "asked": tally.asked}
            _append(folder / "dev.csv", row)
        tasks = {key: tally.accuracy for key, tally in tallies.items() if "/" not in key}
        mean = sum(tasks.values()) / len(tasks)
        shown = " ".join(f"{task.split('_')[0]} {100 * value:.0f}" for task, value in tasks.items())
        log.info("%s dev step %d %-10s mean %.1f | %s", name, step, plan, 100 * mean, shown)


def forget_later(file: Path, step: int) -> None:
    """Take the rows after ``step`` off a curve: a resumed run writes them again."""
    if not file.exists():
        return
    with file.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    place = header.index("step")
    kept = [row for row in rows if int(row[place]) <= step]
    scratch = file.with_suffix(".tmp")
    with scratch.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *kept])
    scratch.replace(file)


def _append(file: Path, row: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
