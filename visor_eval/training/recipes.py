"""Language training recipes: what is drawn, for how long, with which optimiser."""

from dataclasses import dataclass, replace

from visor_eval.training.curriculum import DENSE_PHASES, UNIVERSAL_PHASES, Phase

Configuration = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """One run of packed language training. Shares are fractions of all steps."""

    name: str
    steps: int
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
        phases = tuple(
            phase if phase.until is None else replace(phase, until=round(phase.until * steps / self.steps))
            for phase in self.phases
        )
        return replace(self, steps=steps, phases=phases)

    def phase_at(self, step: int) -> Phase:
        """The phase of a 0-based step."""
        return next(phase for phase in self.phases if phase.until is None or step < phase.until)

    def lr_at(self, step: int) -> float:
        """Learning rate of a 0-based step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.steps * self.decay_share)
        return self.lr * min(1.0, (step + 1) / max(1, self.warmup_steps), left)


def universal(steps: int = 8500, **changes: object) -> LanguageRecipe:
    """One viable configuration per step, some cross-attention-only and some dense steps."""
    fields = {
        "name": "universal",
        "steps": steps,
        "cross_only_share": 0.08,
        "dense_share": 0.08,
        "phases": UNIVERSAL_PHASES,
        "decay_share": 0.3235,  # from step 5,750 of 8,500
        **changes,
    }
    return LanguageRecipe(**fields)  # type: ignore[arg-type]


def dense(steps: int = 1450, **changes: object) -> LanguageRecipe:
    """The dense member: every layer on everything; vision costs more here, so each image is asked more."""
    fields = {
        "name": "dense",
        "steps": steps,
        "dense_share": 1.0,
        "phases": DENSE_PHASES,
        "images": 12,
        "questions": 10,
        "decay_share": 0.5,
        **changes,
    }
    return LanguageRecipe(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class RouterRecipe:
    """Pseudo-labels from a slice of training data, then cross-entropy on the routing token and its MLP only."""

    name: str = "router"
    label_images: int = 60  # per task
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
