"""Figure S5 for the report: needs no run at all."""

from visor_eval.analysis.counter import count
from visor_eval.cost.estimate import Text
from visor_eval.cost.shapes import backbone
from visor_eval.cost.variants import distinct_methods
from visor_reports.cost_tables import UNITS
from visor_reports.figures.drawing import Sketch
from visor_reports.figures.vision_length import TITLE, caption, vision_length

BACKBONES = ("llava-ov-0.5b", "llava-ov-1.5b")
TILES = range(1, 11)  # of 729 tokens
TEXT = Text(prompt=32, prefix=0, generated=8)


def costs() -> Sketch:
    """FLOPs against vision length, of every method on full-size shapes."""
    methods, _ = distinct_methods()
    counted = count([backbone(name) for name in BACKBONES], methods, [729 * tiles for tiles in TILES], TEXT)
    unit = UNITS["flops"]
    return Sketch(
        name="s5-vision-length",
        title=TITLE,
        caption=f"{caption(counted, unit)} As figure S5 of the paper.",
        draw=lambda note: vision_length(counted, unit),
    )
