"""From (split, task, seed, index) to an image with questions."""

from random import Random

from visor_tasks.mini import charts, diagrams, forms, infographics, objects, pages, roads, signs
from visor_tasks.mini.asking import draw_questions
from visor_tasks.mini.question import Item, Scene
from visor_tasks.mini.splits import SPLITS
from visor_tasks.mini.wording import TASKS

GENERATOR_VERSION = 2
_MME = (objects.mme_objects, signs.mme_text, signs.mme_sum)
_BUILDERS = {
    "realworldqa": roads.realworldqa,
    "scienceqa_img": diagrams.scienceqa,
    "gqa": objects.gqa,
    "mmstar": objects.mmstar,
    "pope": objects.pope,
    "textvqa_val": signs.textvqa,
    "ai2d": diagrams.ai2d,
    "chartqa": charts.chartqa,
    "ocrbench": pages.ocrbench,
    "infovqa_val": infographics.infovqa,
    "docvqa_val": forms.docvqa,
}


def build_scene(rng: Random, split: str, task: str) -> Scene:
    """Draw one scene of the task."""
    if task == "mme":
        return rng.choices(_MME, (4, 1, 1))[0](rng, split)
    return _BUILDERS[task](rng, split)


def stream_item(split: str, task: str, seed: int, index: int, questions: int = 6) -> Item:
    """One image and up to ``questions`` distinct questions about it, a pure function of the arguments.

    Args:
        split: "train", "dev" or "test".
        task: One of ``TASKS``.
        seed: Any whole number; another seed is another endless stream.
        index: Place in the stream.
        questions: How many to draw; scenes that support fewer give fewer, never none.

    Raises:
        LookupError: The split or the task is unknown.
    """
    if split not in SPLITS:
        raise LookupError(f"unknown split {split!r}; use one of {', '.join(SPLITS)}")
    if task not in TASKS:
        raise LookupError(f"unknown task {task!r}; use one of {', '.join(TASKS)}")
    rng = Random(f"{GENERATOR_VERSION}/{split}/{task}/{seed}/{index}")
    scene = build_scene(rng, split, task)
    found = draw_questions(rng, task, scene, questions)
    canvas = scene.canvas
    return Item(image=canvas.pixels, questions=found, cells=canvas.cells, scene_hash=canvas.digest())
