"""What is trained when: the tasks, kinds of question and easier forms that fill the batches, phase by phase.

The phases below are those the shipped members were trained with, decided while they were
trained: docs/log.md tells what came of each, and that none was tested against leaving it out.
"""

from dataclasses import dataclass, replace

from visor_eval.training.aids import Aids
from visor_tasks.mini import HARD, Question

Weights = tuple[tuple[str, float], ...]
NO_AIDS = Aids()


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one mixture of tasks."""

    until: int | None = None  # the step at which the next phase begins; None: the last phase
    weights: Weights = ()
    others: float = 1.0  # weight of the tasks not named
    adaptive: bool = True  # more of what is not learnt yet
    two_hop: bool = True  # with questions that need two look-ups
    skipped: tuple[str, ...] = ()  # templates left out where an image supports others: those learnt before
    aids: Aids = NO_AIDS

    @property
    def selects(self) -> bool:
        """Whether some questions are left out."""
        return bool(self.skipped) or not self.two_hop

    def asks(self, question: Question) -> bool:
        """Whether the phase trains on this question."""
        return question.template not in self.skipped and (self.two_hop or not question.template.endswith("_2hop"))


HARD_MORE: Weights = tuple((task, 1.5) for task in HARD)
LEARNT = (
    *("color", "shape", "verify_color", "existence", "random", "popular", "light", "limit", "color_by_text"),
    *("number_only", "word_only", "corners", "background"),
)  # templates that are answered well before relations are
LOOK_UPS = Phase(
    until=300,
    weights=(("gqa", 1.0), ("textvqa_val", 1.0)),  # on all tasks at once the first look-up takes several times as long
    others=0.05,  # so that the optimiser knows the other tasks
    adaptive=False,
    two_hop=False,
)
NAMING = Phase(  # almost only: which letter stands before this word?
    weights=(("mmstar", 1.0), ("ai2d", 1.0), ("scienceqa_img", 1.0), ("realworldqa", 0.4), ("mme", 0.3), ("pope", 0.2)),
    others=0.1,
    two_hop=False,
    aids=Aids(named=0.75, opened=0.25),
)
CHOICES = Phase(
    weights=(
        ("mmstar", 2.0), ("ai2d", 2.0), ("scienceqa_img", 2.0), ("realworldqa", 1.0), ("mme", 1.5), ("pope", 1.0),
        ("gqa", 1.0),
    ),
    others=0.4,
    aids=Aids(named=0.15, opened=0.25),
)  # fmt: skip
RELATIONS = Phase(  # what stands beside what
    weights=(
        ("gqa", 1.5), ("infovqa_val", 2.0), ("chartqa", 2.0), ("docvqa_val", 2.0), ("ocrbench", 1.0),
        ("ai2d", 2.0), ("scienceqa_img", 0.7), ("mmstar", 0.8), ("mme", 0.8),
    ),
    others=0.3,
    two_hop=False,
    skipped=LEARNT,
    aids=Aids(named=0.05, opened=0.3),
)  # fmt: skip
EVERYTHING = Phase(weights=(*HARD_MORE, ("ai2d", 1.8), ("gqa", 1.2)), aids=Aids(named=0.03, opened=0.15))
UNIVERSAL_PHASES = (
    LOOK_UPS,
    Phase(
        until=2250,
        weights=(
            *HARD_MORE, ("scienceqa_img", 0.2), ("mmstar", 0.2), ("ai2d", 0.2), ("mme", 0.5), ("pope", 0.5),
        ),
        two_hop=False,
    ),
    Phase(  # verdicts and choices, at chance until here
        until=3500,
        weights=(
            ("pope", 2.0), ("mme", 2.0), ("mmstar", 2.5), ("ai2d", 2.0), ("scienceqa_img", 1.5), ("realworldqa", 1.0),
            ("gqa", 0.7), ("textvqa_val", 0.3),
        ),
        others=0.35,
        two_hop=False,
        aids=Aids(named=0.35, opened=0.35),
    ),
    replace(NAMING, until=3700),
    replace(CHOICES, until=4250),
    replace(NAMING, until=4450, aids=Aids(named=0.9, opened=0.1)),
    replace(CHOICES, until=5000),
    replace(
        RELATIONS,
        until=5750,
        weights=(
            ("gqa", 2.0), ("infovqa_val", 2.0), ("chartqa", 2.0), ("docvqa_val", 1.0), ("ocrbench", 1.0),
            ("ai2d", 2.0), ("scienceqa_img", 1.0), ("mmstar", 0.8), ("mme", 0.8),
        ),
        aids=Aids(named=0.05, opened=0.2),
    ),
    Phase(until=6500, weights=HARD_MORE, aids=Aids(named=0.03, opened=0.15)),
    replace(RELATIONS, until=8500),
    EVERYTHING,
)  # fmt: skip
ON_PHASE = Phase(  # once lines can be followed
    weights=(*HARD_MORE, ("ai2d", 2.0), ("scienceqa_img", 1.5), ("mme", 1.2), ("mmstar", 1.2)), aids=Aids(opened=0.1)
)
LAST_PHASE = replace(ON_PHASE, adaptive=False)  # of every branch: the same images for all
