"""The two suites as data: which lmms-eval task each benchmark is, and in which group it counts.

A *paper* task is lmms-eval's own; its *mini* twin (`<name>_mini`) has the same prompts, scoring code and columns over
the synthetic data of `visor_tasks.mini`. Nothing here imports lmms-eval.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Suite(StrEnum):
    """Where the samples come from. Numbers of different suites are never comparable."""

    MINI = "mini"
    PAPER = "paper"


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One of the twelve benchmarks."""

    name: str  # lmms-eval's name
    group: str  # "easy" or "hard"
    source: str  # lmms-eval's YAML, below lmms_eval/tasks
    split: str  # the split that is scored
    metric: str  # the lmms-eval metric that `visor_score` repeats on the 0-100 scale
    pair_columns: tuple[str, ...] = ()  # samples that agree in these are scored together: a limit never parts them

    def name_in(self, suite: Suite) -> str:
        """The task's name within ``suite``."""
        return self.name if suite is Suite.PAPER else f"{self.name}_mini"


TASKS: tuple[TaskSpec, ...] = (
    TaskSpec(
        name="realworldqa", group="easy", source="realworldqa/realworldqa.yaml", split="test", metric="exact_match"
    ),
    TaskSpec(
        name="scienceqa_img", group="easy", source="scienceqa/scienceqa_img.yaml", split="test", metric="exact_match"
    ),
    TaskSpec(name="gqa", group="easy", source="gqa/gqa.yaml", split="testdev", metric="exact_match"),
    TaskSpec(
        name="mme",
        group="easy",
        source="mme/mme.yaml",
        split="test",
        metric="mme_perception_score",
        pair_columns=("category", "question_id"),
    ),
    TaskSpec(name="mmstar", group="easy", source="mmstar/mmstar.yaml", split="val", metric="average"),
    TaskSpec(name="pope", group="easy", source="pope/pope.yaml", split="test", metric="pope_accuracy"),
    TaskSpec(
        name="textvqa_val", group="easy", source="textvqa/textvqa_val.yaml", split="validation", metric="exact_match"
    ),
    TaskSpec(name="ai2d", group="easy", source="ai2d/ai2d.yaml", split="test", metric="exact_match"),
    TaskSpec(name="chartqa", group="hard", source="chartqa/chartqa.yaml", split="test", metric="relaxed_overall"),
    TaskSpec(name="ocrbench", group="hard", source="ocrbench/ocrbench.yaml", split="test", metric="ocrbench_accuracy"),
    TaskSpec(name="infovqa_val", group="hard", source="infovqa/infovqa_val.yaml", split="validation", metric="anls"),
    TaskSpec(name="docvqa_val", group="hard", source="docvqa/docvqa_val.yaml", split="validation", metric="anls"),
)
GROUPS = ("easy", "hard")


def group_name(group: str, suite: Suite) -> str:
    """The group's name as lmms-eval registers it, e.g. `visor_mini_easy`."""
    return f"visor_mini_{group}" if suite is Suite.MINI else f"visor_{group}"


def members(group: str) -> tuple[TaskSpec, ...]:
    """The tasks of a group, in table order."""
    return tuple(task for task in TASKS if task.group == group)


def group_of(name: str) -> str | None:
    """The group of a task or twin; None for a name outside the suites."""
    return next((task.group for task in TASKS if name in (task.name, task.name_in(Suite.MINI))), None)


def resolve(names: Iterable[str], suite: Suite) -> tuple[TaskSpec, ...]:
    """Turn what a user typed (groups, task names, twins' names) into tasks, each once, in table order.

    Raises:
        LookupError: a name is unknown, or belongs to the other suite; the message names the remedy.
    """
    known: dict[str, tuple[TaskSpec, ...]] = {"all": TASKS}
    foreign: dict[str, Suite] = {}
    for group in GROUPS:
        known[group] = known[group_name(group, suite)] = members(group)
    for task in TASKS:
        known[task.name] = known[task.name_in(suite)] = (task,)
    other = Suite.PAPER if suite is Suite.MINI else Suite.MINI
    for name in (*(group_name(group, other) for group in GROUPS), *(task.name_in(other) for task in TASKS)):
        if name not in known:
            foreign[name] = other
    chosen: set[str] = set()
    for name in names:
        if name in foreign:
            raise LookupError(f"task {name!r} belongs to the {foreign[name]} suite: add --suite {foreign[name]}")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            everything = ", ".join((*GROUPS, *(task.name for task in TASKS)))
            hint = f"did you mean {close[0]!r}?" if close else f"known: {everything}"
            raise LookupError(f"unknown task {name!r}: {hint}")
        chosen.update(task.name for task in known[name])
    if not chosen:
        raise LookupError("no tasks given: try --tasks easy,hard")
    return tuple(task for task in TASKS if task.name in chosen)
