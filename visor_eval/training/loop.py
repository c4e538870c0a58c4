"""The language training loop: universal and dense members, resumable, everything drawn from (seed, step).

With several processes each takes some of a step's images (processes.py); the step is the same.
"""

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

from visor_eval.errors import SetupError
from visor_eval.models.reduction import Reduction
from visor_eval.training.aids import is_aid
from visor_eval.training.evaluate import Tally, evaluate, evaluation_batches, row_hits
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.processes import Processes
from visor_eval.training.recipes import Configuration, LanguageRecipe, Learns
from visor_eval.training.state import STATE, Progress, load_state, save_state, state_name
from visor_eval.training.stream import Stream
from visor_eval.training.transplant import hosts
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_eval.visor.packing import packers
from visor_tasks.mini import Question

log = logging.getLogger(__name__)
ELSEWHERE = ("model.model.vision_tower.", "visor.router.")  # trained in stages of their own
SMOOTHING = 0.98  # of the per-task training accuracy, per batch that holds the task


@dataclass
class Member:
    """One model of the family while it is trained."""

    model: LlavaOnevisionForConditionalGeneration
    visor: VisorModules | None

    def to(self, device: torch.device) -> "Member":
        """Move the weights, in place."""
        for module in (self.model, self.visor):
            if module is not None:
                module.to(device)  # type: ignore[arg-type]
        return self

    def learn(self, what: Learns) -> dict[str, nn.Parameter]:
        """Let only these weights learn, and return them by name; ``all`` are those of ``parameters``."""
        for module in (self.model, self.visor):
            if module is not None:
                module.requires_grad_(False)
        parts = {"blocks": "visor.blocks.", "projector": "model.model.multi_modal_projector.", "all": ""}
        learning = {name: value for name, value in self.parameters().items() if name.startswith(parts[what])}
        for value in learning.values():
            value.requires_grad_(True)
        return learning

    @property
    def depth(self) -> int:
        """Decoder layers."""
        return len(self.model.model.language_model.layers)

    def parameters(self) -> dict[str, nn.Parameter]:
        """All parameters but the tower's and the router's, by name, tied ones once."""
        named = {f"model.{name}": parameter for name, parameter in self.model.named_parameters()}
        if self.visor is not None:
            named |= {f"visor.{name}": parameter for name, parameter in self.visor.named_parameters()}
        return {name: parameter for name, parameter in named.items() if not name.startswith(ELSEWHERE)}

    def plans(self, configurations: Sequence[Configuration]) -> dict[str, StepPlan]:
        """Named plans: dense for a dense member, cross-attention only and every configuration for the others."""
        if self.visor is None:
            return {"dense": StepPlan.dense(self.depth)}
        named = {plan_name(each): StepPlan.of(self.visor, each) for each in configurations}
        return {"cross_only": StepPlan.of(self.visor, ()), **named}


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
    if step < recipe.opening:
        assert member.visor is None, "only a dense member opens"
        opened = _opened(member.depth, step / recipe.opening, draw)
        return StepPlan(full=opened, read=frozenset(), reduction=Reduction(draw.choice(recipe.reducers)))
    kind = draw.random()
    if kind < recipe.dense_share:
        reducers = packers(member.visor.config) if member.visor is not None else draw.choice(recipe.reducers)
        return StepPlan.dense(member.depth, Reduction(reducers))
    assert member.visor is not None, "sparse steps need VISOR modules"
    if kind < recipe.dense_share + recipe.cross_only_share:
        return StepPlan.of(member.visor, ())
    config = member.visor.config
    return StepPlan.of(member.visor, config.largest if recipe.largest_only else draw.choice(config.configurations))


def _opened(depth: int, share: float, draw: random.Random) -> frozenset[int]:
    """The first layer, those that read for blocks, and a share of the others."""
    reading = {1, *hosts(VisorConfig.for_layers(depth).read_layers, depth).values()}
    return frozenset(reading | {number for number in range(2, depth + 1) if draw.random() < share})


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


def train(
    member: Member,
    recipe: LanguageRecipe,
    stream: Stream,
    dev: Stream | None,
    folder: Path,
    start: Path | None = None,
    processes: Processes | None = None,
) -> Progress:
    """Run or resume ``recipe``; state, curve and evaluations go to ``folder``.

    Args:
        member: what to train, in place and on the device where it is.
        recipe: how.
        stream: training data.
        dev: evaluation data (the dev split), or None for no evaluation.
        folder: ``state.safetensors`` there is resumed from if it exists.
        start: another stage's state, from which a run that has not begun takes its optimiser's moments and the running
            accuracies; its weights are in ``member`` already.
        processes: who shares the work; default: nobody.

    Raises:
        SetupError: more processes than images in a batch, or ``folder`` holds a run under another seed.
    """
    device = member.model.device
    processes = processes or Processes(device)
    processes.check(stream.fewest_images)
    parameters = member.learn(recipe.learns)
    optimizer = build_optimizer(parameters, recipe)
    progress = Progress(accuracy=dict.fromkeys(stream.tasks, 0.0))
    state = folder / STATE
    if not state.exists() and start is not None:
        progress.accuracy |= load_state(start, parameters, optimizer).accuracy
    if state.exists():
        progress = load_state(state, parameters, optimizer)
        if progress.seed not in (None, recipe.seed):
            raise SetupError(f"{state} was trained under seed {progress.seed}, not {recipe.seed}: give another --work")
        progress.accuracy = dict.fromkeys(stream.tasks, 0.0) | progress.accuracy
        for name in ("curve.csv", "dev.csv") if processes.is_main else ():
            forget_later(folder / name, progress.step)
        log.info("%s: resumed after step %d", recipe.name, progress.step)
    compute = torch.bfloat16 if recipe.bfloat16 else torch.float32
    progress.seed, progress.hardware = recipe.seed, processes.hardware(compute)
    packed = PackedModel(member.model, member.visor, compute, recipe.compiled)
    judge = PackedModel(member.model, member.visor, compute)
    processes.agree([*member.model.parameters(), *(member.visor.parameters() if member.visor else ())])
    batches = evaluation_batches(dev, recipe.evaluation_images) if dev and processes.is_main else []
    losses: list[float] = []
    while progress.step < recipe.steps:
        started, step = time.monotonic(), progress.step
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step) * group["lr_scale"]
        phase = recipe.phase_at(step)
        weights = task_weights(recipe, stream.tasks, progress.accuracy, step)
        batch = stream.batch(step, weights, phase.asks if phase.selects else None, phase.aids)
        plan = plan_of(recipe, step, member)
        mine = batch.share(processes.index, processes.count)
        logits, labels = packed.answer_logits(mine.packed, plan)
        loss = F.cross_entropy(logits, labels) * (mine.answer_tokens / batch.answer_tokens)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        processes.add_gradients(parameters.values())
        nn.utils.clip_grad_norm_(parameters.values(), recipe.clip)
        optimizer.step()
        losses.append(processes.total(loss.detach()).item())
        hits = row_hits(mine.packed.labels, logits.detach(), labels)
        hits = processes.merge(hits, stream.questions, len(batch.items))
        _smooth(progress.accuracy, batch.questions, hits)
        progress.step += 1
        progress.images += len(batch.items)
        progress.questions += sum(hit is not None for hit in hits)
        progress.seconds += time.monotonic() - started
        if progress.step % recipe.report_every == 0:
            if processes.is_main:
                _report(folder, recipe, progress, sum(losses) / len(losses))
            losses.clear()
        if batches and progress.step % recipe.evaluate_every == 0:
            write_evaluation(folder, recipe.name, progress.step, evaluate(judge, batches, _watched(member)))
        if not processes.is_main:
            continue
        if progress.step % recipe.save_every == 0 or progress.step == recipe.steps:
            save_state(state, member.parameters(), optimizer, progress)
        if progress.step in recipe.kept:
            save_state(folder / state_name(progress.step), member.parameters(), optimizer, progress)
    processes.wait()
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
