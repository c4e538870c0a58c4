"""Rows that the paper prints, with its averages recomputed from their own cells."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean

EASY = ("realworldqa", "scienceqa_img", "gqa", "mme", "mmstar", "pope", "textvqa_val", "ai2d")
HARD = ("chartqa", "ocrbench", "infovqa_val", "docvqa_val")
TITLES = {
    "headline": "main paper, headline comparison",
    "composition": "main paper, composition with token reduction",
    "layer_ablation": "main paper, number of layers",
    "s1": "Table S1, savings per dataset",
    "s2": "Table S2, Qwen2-VL-2B",
    "s3": "Table S3, token reduction against VISOR",
    "s4": "Table S4, generalisation of the router",
    "s5": "Table S5, LLaVA-OV 1.5B",
    "s6": "Table S6, size of the training data",
    "s7": "Table S7, FastVLM",
    "s8": "Table S8, several images",
}
_LABELS = ("method", "ours", "backbone", "quantity", "vision_encoder")
_GROUPS = {"avg_easy": EASY, "avg_hard": HARD}


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """One printed row.

    Attributes:
        table: "s5", "headline", ...
        method: as the paper writes it.
        ours: what it is called here; empty where nothing here is the same.
        backbone: what it is built on; empty where the table does not say.
        quantity: "accuracy" or "flops_saving" in tables with two lines per method, else empty.
        vision_encoder: table S7's column, else empty.
        values: column -> number: benchmarks, ``avg_easy``, ``avg_hard``, ``flops_saving``, ...
        digits: column -> digits printed after the point.
    """

    table: str
    method: str
    ours: str
    backbone: str
    quantity: str
    vision_encoder: str
    values: Mapping[str, float]
    digits: Mapping[str, int]

    @property
    def saving(self) -> float | None:
        """The row's one printed saving, under whichever heading."""
        return self.values.get("avg_flops_saving", self.values.get("flops_saving"))


@cache
def printed_table(name: str) -> tuple[PrintedRow, ...]:
    """One table's rows, top to bottom.

    Raises:
        KeyError: no table of that name.
    """
    if name not in TITLES:
        raise KeyError(f"the paper's table {name!r} is not among {', '.join(TITLES)}")
    text = files("visor_reports.paper").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    rows = []
    for line in csv.DictReader(text.splitlines()):
        numbers = {key: value for key, value in line.items() if key not in _LABELS and value}
        label = {key: line.get(key) or "" for key in _LABELS}
        rows.append(
            PrintedRow(
                table=name,
                values={key: float(value) for key, value in numbers.items()},
                digits={key: len(value.partition(".")[2]) for key, value in numbers.items()},
                **label,
            )
        )
    return tuple(rows)


def disagreements(row: PrintedRow) -> dict[str, str]:
    """Averages that do not follow from what is printed: column -> what they should be.

    Cells are rounded to 0.1, so that an average of them is known to 0.05, and it is printed rounded itself. What lies
    further away, or just as far as rounding could go if every single cell had been rounded the same way, is named.
    """
    found = {}
    for key, members in _GROUPS.items():
        if key in row.values and all(task in row.values for task in members):
            mean = fmean(row.values[task] for task in members)
            if _differs(row, key, mean, cells=0.05):
                found[key] = (
                    f"The paper prints {row.values[key]:.1f} ({TITLES[row.table]}); the mean of its {len(members)} "
                    f"cells is {mean:.1f}."
                )
    mean_saving = _mean_saving(row)
    key = "avg_flops_saving" if "avg_flops_saving" in row.values else "flops_saving"
    if key in row.values and mean_saving is not None and _differs(row, key, mean_saving, cells=0.05):
        found[key] = (
            f"The paper prints {row.values[key]:g}x ({TITLES[row.table]}); the mean over the twelve datasets of its "
            f"Table S1 is {mean_saving:.2f}x."
        )
    return found


def _differs(row: PrintedRow, key: str, recomputed: float, *, cells: float) -> bool:
    return abs(recomputed - row.values[key]) > cells + 0.5 * 10.0 ** -row.digits[key] - 1e-9


def _mean_saving(row: PrintedRow) -> float | None:
    """What Table S1 says about the same method on the same backbone."""
    if row.table == "s1":
        return None
    for other in printed_table("s1"):
        if other.quantity == "flops_saving" and other.ours and (other.ours, other.backbone) == (row.ours, row.backbone):
            return fmean(other.values[task] for task in (*EASY, *HARD))
    return None
