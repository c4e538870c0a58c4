"""The stages of the family: what each goes on from, what is drawn, for how long, with which optimiser.

    foundation -> base -> lines -> visor, visor-tr2, visor-tr4      one learning rate, then branches: it falls to 0
                  base, half way -> half-lines -> visor-half
                  base -> dense-base -> dense-lines -> dense, m3, vispruner, vispruner-16x, visionzip-dagger
                                        dense -> visor-stage1 -> visor-stage2     the paper's way into VISOR

Branches of one base start alike and see the same images in the same number of steps: under one seed, tasks drawn by
fixed weights (``Phase.adaptive`` is off).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from visor_baselines.m3 import M3
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner, VisPruner16x
from visor_eval.core.tokens import Reducer
from visor_eval.training.curriculum import LAST_PHASE, ON_PHASE, UNIVERSAL_PHASES, Phase
from visor_eval.training.lines import LinesRecipe

Configuration = tuple[int, ...]
Learns = Literal["all", "blocks", "projector"]
BASE_STEPS, LINES_STEPS, BRANCH_STEPS = 12_500, 2_400, 800
HALF_WAY, HALF_LINES_STEPS = 5_750, 1_300  # with its branch, visor-half has half of visor's steps
DENSE_START, DENSE_BASE_STEPS, DENSE_LINES_STEPS = 11_000, 4_000, 3_600
DENSE_SEED = 50  # so that the dense members meet other scenes than those whose weights they go on from
FOUNDATION = "foundation"


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """One run of packed language training. Shares are fractions of all steps."""

    name: str
    steps: int
    start: str = FOUNDATION  # the stage whose weights it goes on from
    start_step: int | None = None  # from the state that stage kept at this step; None: its last one
    from_scratch: bool = True  # on the foundation: its decoder is untrained; False: it is a trained checkpoint
    visor: bool = True  # with added blocks
    lines: LinesRecipe | None = None  # taught before the first step (lines.py)
    given_back: bool = False  # fresh blocks start as transplant.give_back says, not as the paper's do
    opening: int = 0  # of a dense member that goes on from VISOR: steps until all layers run on everything
    learns: Learns = "all"  # but for the tower, which is frozen, and the router, which has a stage of its own
    packing: float = 1.0  # VISOR-TR: vision tokens per packed token
    reducers: tuple[tuple[Reducer, ...], ...] = ((),)  # of a dense member: one of these is drawn per step
    largest_only: bool = False  # every sparse step takes the largest configuration
    kept: tuple[int, ...] = ()  # steps after which the state is kept for good
    cross_only_share: float = 0.0  # steps whose vision tokens are never updated (our deviation from the paper)
    dense_share: float = 0.0  # steps in which every stock layer runs on everything and no block is used
    images: int = 16  # per step, single-tile and short prompts; other kinds get fewer
    questions: int = 6  # per image
    lr: float = 5e-4  # the prototype's 1.5e-3 hardly learns here (docs/log.md)
    aligned_lr_scale: float = 0.1  # of what alignment prepared: projector, newline, embeddings
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05  # on matrices of the decoder, the projector and the added blocks
    clip: float = 1.0
    warmup_steps: int = 60
    decay_share: float = 0.4  # linear to zero at the end
    phases: tuple[Phase, ...] = (Phase(),)
    floor_weight: float = 0.3  # of a task that is answered perfectly, against 1 + floor for one at zero
    seed: int = 0
    bfloat16: bool = True
    compiled: bool = True
    report_every: int = 50
    save_every: int = 250
    evaluate_every: int = 1000
    evaluation_images: int = 24  # per task

    def of_length(self, steps: int) -> "LanguageRecipe":
        """The same recipe in ``steps`` steps, its phases shortened or stretched with it."""
        scale = steps / self.steps
        phases = tuple(
            phase if phase.until is None else replace(phase, until=round(phase.until * scale)) for phase in self.phases
        )
        lines = self.lines and replace(self.lines, steps=max(1, round(self.lines.steps * scale)))
        return replace(self, steps=steps, phases=phases, opening=round(self.opening * scale), lines=lines)

    def phase_at(self, step: int) -> Phase:
        """The phase of a 0-based step."""
        return next(phase for phase in self.phases if phase.until is None or step < phase.until)

    def lr_at(self, step: int) -> float:
        """Learning rate of a 0-based step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.steps * self.decay_share)
        return self.lr * min(1.0, (step + 1) / max(1, self.warmup_steps), left)


def universal(steps: int = BASE_STEPS, **changes: object) -> LanguageRecipe:
    """One viable configuration per step, some cross-attention-only and some dense steps."""
    fields = {
        "name": "base",
        "steps": steps,
        "cross_only_share": 0.08,
        "dense_share": 0.08,
        "phases": UNIVERSAL_PHASES,
        "decay_share": 0.0,
        "kept": (HALF_WAY, DENSE_START),
        **changes,
    }
    return LanguageRecipe(**fields)  # type: ignore[arg-type]


def dense(steps: int = DENSE_BASE_STEPS, **changes: object) -> LanguageRecipe:
    """Goes on from VISOR (transplant.py); vision costs more here, so fewer images are asked more each."""
    fields = {
        "name": "dense-base",
        "steps": steps,
        "start": "base",
        "start_step": DENSE_START,
        "visor": False,
        "opening": 600,
        "dense_share": 1.0,
        "phases": (ON_PHASE,),
        "images": 8,
        "questions": 10,
        "seed": DENSE_SEED,
        "decay_share": 0.0,
        **changes,
    }
    return LanguageRecipe(**fields)  # type: ignore[arg-type]


def on(base: LanguageRecipe, name: str, steps: int, **changes: object) -> LanguageRecipe:
    """``base`` taught to follow lines, then trained on at the same learning rate, more often without vision updates."""
    fields = {
        "name": name,
        "start": base.name,
        "start_step": None,
        "steps": steps,
        "lines": LinesRecipe(),
        "opening": 0,
        "phases": (ON_PHASE,),
        "kept": (),
        "seed": base.seed + 2,
        **changes,
    }
    return replace(base, **fields)  # type: ignore[arg-type]


def branch(base: LanguageRecipe, name: str, steps: int, **changes: object) -> LanguageRecipe:
    """``steps`` further steps from the end of ``base``, the learning rate falling to 0, under another seed."""
    settled = {
        "start": base.name,
        "start_step": None,
        "steps": steps,
        "lines": None,
        "opening": 0,
        "decay_share": 1.0,
        "phases": (LAST_PHASE,),
        "kept": (),
        "seed": base.seed + 1,
    }
    return replace(base, name=name, **{**settled, **changes})  # type: ignore[arg-type]


def _language() -> Mapping[str, LanguageRecipe]:
    base, dense_base = universal(), dense()
    lines = on(base, "lines", LINES_STEPS, cross_only_share=0.2, dense_share=0.0)
    half = replace(lines, name="half-lines", start_step=HALF_WAY, steps=HALF_LINES_STEPS)
    dense_lines = on(dense_base, "dense-lines", DENSE_LINES_STEPS)
    scales = ((), *((M3(factor=scale),) for scale in (4.0, 8.0, 16.0)))
    found = [
        base,
        lines,
        branch(lines, "visor", BRANCH_STEPS, cross_only_share=0.25),
        branch(lines, "visor-tr2", BRANCH_STEPS, cross_only_share=0.25, packing=2.0),
        branch(lines, "visor-tr4", BRANCH_STEPS, cross_only_share=0.25, packing=4.0),
        half,
        branch(half, "visor-half", BRANCH_STEPS, cross_only_share=0.25),
        dense_base,
        dense_lines,
        branch(dense_lines, "dense", BRANCH_STEPS),
        branch(dense_lines, "m3", BRANCH_STEPS, reducers=scales),
        branch(dense_lines, "vispruner", BRANCH_STEPS, reducers=((VisPruner(),),)),
        branch(dense_lines, "vispruner-16x", BRANCH_STEPS, reducers=((VisPruner16x(),),)),
        branch(dense_lines, "visionzip-dagger", BRANCH_STEPS, reducers=((VisionZip(),),), learns="projector"),
    ]
    sparse = {"visor": True, "dense_share": 0.0, "largest_only": True, "images": 16, "questions": 6}
    first = branch(dense_lines, "visor-stage1", 300, start="dense", learns="blocks", given_back=True, **sparse)
    return {recipe.name: recipe for recipe in (*found, first, branch(first, "visor-stage2", 1_000, learns="all"))}


@dataclass(frozen=True, kw_only=True)
class RouterRecipe:
    """Pseudo-labels from a slice of training data, then cross-entropy on the routing token and its MLP only."""

    name: str = "router"
    label_images: int = 40  # per task
    rule: str = (
        "dataset"  # "dataset": cheapest reaching `target` of the full model per task; "sample": same score per sample
    )
    target: float = 0.99
    steps: int = 400
    images: int = 16
    questions: int = 6
    lr: float = 2e-3
    weight_decay: float = 0.01
    seed: int = 0
    excluded: tuple[str, ...] = ()  # tasks the router is trained without (S7)

    def of_length(self, steps: int) -> "RouterRecipe":
        """The same recipe in ``steps`` steps."""
        return replace(self, steps=steps)


LANGUAGE: Mapping[str, LanguageRecipe] = _language()
S7_TASKS = ("ai2d", "docvqa_val", "gqa")  # that table S4's router is trained without
ROUTERS: Mapping[str, RouterRecipe] = {
    recipe.name: recipe for recipe in (RouterRecipe(), RouterRecipe(name="router-excl", excluded=S7_TASKS))
}
