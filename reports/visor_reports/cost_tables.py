"""Closed-form costs as tables: savings over vision tokens, FLOPs by component, savings on sets of images."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visor_eval.analysis.counter import Count, CountedCost
from visor_eval.analysis.image_savings import MethodSaving, SetSavings
from visor_eval.cost import NOT_COUNTED
from visor_eval.records import COMPONENTS, Accounting, Flops
from visor_reports import style
from visor_reports.table import EMPTY, Cell, Column, Kind, Row, Table, score_cell


@dataclass(frozen=True)
class Unit:
    """What is counted.

    Attributes:
        name: FLOPs or MACs.
        flops: how many FLOPs one of them is.
    """

    name: str
    flops: int

    def exact(self, flops: int) -> int:
        """A count in this unit; every multiply-add is 2 FLOPs, so nothing is lost."""
        return flops // self.flops

    def tera(self, flops: float) -> float:
        """The same in units of 10^12."""
        return flops / self.flops / 1e12


UNITS = {"flops": Unit("FLOPs", 1), "macs": Unit("MACs", 2)}

CONVENTIONS = (
    "Savings are dense over method. paper: vision tokens x layers that process them; exact: executed decoder prefill, "
    "text and LM head included; causal: exact, only the pairs that the causal mask lets through; end to end: exact and "
    "tower, projector, reducer and decode; KV: bytes cached when generation ends."
)
NOT_COUNTED_LINE = f"Not counted: {'; '.join(NOT_COUNTED)}."

_SHORT = {
    "tower": "tower",
    "projector": "projector",
    "reducer": "reducer",
    "projections": "q k v o",
    "attention": "attention",
    "mlp": "MLP",
    "cross_attention": "cross",
    "router": "router",
    "lm_head": "LM head",
}


def savings_tables(count: Count, vision_tokens: Sequence[int], unit: Unit) -> list[Table]:
    """One table per backbone: every variant's prefill and savings, side by side for the given numbers of tokens."""
    return [_savings_table(count, backbone, vision_tokens, unit) for backbone in count.backbones]


def component_tables(count: Count, vision_tokens: Sequence[int], unit: Unit) -> list[Table]:
    """One table per backbone and number of tokens: every variant's prefill and decode by component."""
    return [_component_table(count, backbone, tokens, unit) for backbone in count.backbones for tokens in vision_tokens]


def cost_csv(count: Count, unit: Unit) -> str:
    """Everything that was counted, one line per backbone, variant and number of vision tokens; integers are exact."""
    prefill = [f"prefill_{name}" for name in (*COMPONENTS, *_CAUSAL)]
    decode = [f"decode_{name}" for name in (*COMPONENTS, *_CAUSAL)]
    totals = [f"{phase}_total{half}" for phase in ("prefill", "decode") for half in ("", "_causal")]
    savings = [*(f"saving_{accounting}" for accounting in Accounting), "saving_exact_causal", "saving_kv_cache"]
    given = ["backbone", "method", "setting", "dense_vision_tokens", "text_tokens", "prefix_tokens", "generated_tokens"]
    measured = ["vision_tokens", "tiles", "self_attention_layers", "unit", *prefill, *decode, *totals]
    memory = ["kv_cache_bytes", "kv_cache_bytes_dense"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*given, *measured, *memory, *savings])
    for line in count.lines:
        cost = line.cost
        phases = (cost.prefill, cost.decode)
        writer.writerow(
            [
                *(line.backbone, line.method, line.setting, cost.dense_vision_tokens),
                *(cost.text_tokens, count.text.prefix, cost.generated_tokens),
                *(cost.vision_tokens, cost.tiles, int(cost.self_attention_layers), unit.name),
                *(unit.exact(value) for phase in phases for value in _components(phase)),
                *(
                    unit.exact(phase.total(causal=half))
                    for phase in (cost.prefill, cost.decode)
                    for half in (False, True)
                ),
                *(cost.kv_cache_bytes, cost.kv_cache_bytes_dense),
                *(round(line.saving(accounting), 6) for accounting in Accounting),
                *(round(line.saving("exact", causal=True), 6), round(line.kv_cache_saving, 6)),
            ]
        )
    return out.getvalue()


def image_tables(savings: Sequence[SetSavings], backbone: str) -> list[Table]:
    """What the sets are, then every variant's savings set by set."""
    return [_token_table(savings, backbone), *(_set_table(one, backbone) for one in savings)]


_CAUSAL = ("attention_causal", "cross_attention_causal", "router_causal")


def _components(flops: Flops) -> list[int]:
    return [getattr(flops, name) for name in (*COMPONENTS, *_CAUSAL)]


def _savings_table(count: Count, backbone: str, vision_tokens: Sequence[int], unit: Unit) -> Table:
    variants = count.of(backbone)
    layers = count.lines[0].layers if count.lines else 0
    columns = [Column(header="method"), Column(header="setting"), Column(header="layers", kind=Kind.COUNT)]
    for tokens in vision_tokens:
        span = f"{tokens:,} vision tokens"
        columns += [
            Column(header="enter", kind=Kind.COUNT, span=span, key=f"enter_{tokens}"),
            Column(header=f"T{unit.name}", kind=Kind.NUMBER, span=span, key=f"prefill_{tokens}"),
            *(
                Column(header=header, kind=Kind.SAVING, span=span, key=f"{header.replace(' ', '_')}_{tokens}")
                for header in ("paper", "exact", "causal", "end to end", "KV")
            ),
        ]
    rows: list[Row] = []
    for alike in _grouped(variants):
        lines = variants[alike[0]]
        first = next(iter(lines.values()))
        layers = first.layers
        cells = [
            Cell(value=first.method),
            Cell(value=first.setting, notes=_same_cost(variants, alike)),
            Cell(value=first.cost.self_attention_layers),
        ]
        for tokens in vision_tokens:
            cells += _saving_cells(lines[tokens], unit)
        rows.append(Row(cells=tuple(cells), rule=bool(rows) and first.method != rows[-1].cells[0].value))
    text = count.text
    return Table(
        name=f"savings-{backbone}",
        title=f"{backbone}: what each method costs and saves",
        caption=(
            f"{layers} layers; {text.prompt} text tokens, {text.prefix} of them before the image; "
            f"{text.generated} generated. T{unit.name} (10^12): prefill of the decoder; layers: those that process "
            "vision; enter: vision tokens that enter the decoder."
        ),
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _saving_cells(line: CountedCost, unit: Unit) -> list[Cell]:
    values = (
        line.saving("paper"),
        line.saving("exact"),
        line.saving("exact", causal=True),
        line.saving("end_to_end"),
        line.kv_cache_saving,
    )
    return [
        Cell(value=line.cost.vision_tokens),
        Cell(value=unit.tera(line.cost.total("exact"))),
        *(Cell(value=value) for value in values),
    ]


def _component_table(count: Count, backbone: str, tokens: int, unit: Unit) -> Table:
    variants = count.of(backbone)
    phases = [phase for lines in variants.values() for phase in (lines[tokens].cost.prefill, lines[tokens].cost.decode)]
    used = [name for name in COMPONENTS if any(getattr(phase, name) for phase in phases)]
    columns = (
        Column(header="method"),
        Column(header="setting"),
        Column(header="phase"),
        *(Column(header=_SHORT[name], kind=Kind.NUMBER, key=name) for name in used),
        Column(header="attention, causal half", kind=Kind.NUMBER, key="attention_causal"),
        Column(header="total", kind=Kind.NUMBER, key="total"),
        Column(header="total, causal half", kind=Kind.NUMBER, key="total_causal"),
    )
    rows: list[Row] = []
    for alike in _grouped(variants):
        line = variants[alike[0]][tokens]
        for phase, flops in (("prefill", line.cost.prefill), ("decode", line.cost.decode)):
            values = (
                *(getattr(flops, name) for name in used),
                flops.attention_causal,
                flops.total(),
                flops.total(causal=True),
            )
            rows.append(
                Row(
                    cells=(
                        Cell(value=line.method),
                        Cell(value=line.setting, notes=_same_cost(variants, alike)),
                        Cell(value=phase),
                        *(Cell(value=unit.tera(value)) if value else EMPTY for value in values),
                    ),
                    rule=phase == "prefill" and bool(rows) and line.method != rows[-1].cells[0].value,
                )
            )
    text = count.text
    return Table(
        name=f"components-{backbone}-{tokens}",
        title=f"{backbone}, {tokens:,} vision tokens: T{unit.name} by component",
        caption=(
            f"{text.prompt} text tokens, {text.prefix} of them before the image; decode: {text.generated - 1} steps "
            f"after the first token. {NOT_COUNTED_LINE}"
        ),
        columns=columns,
        rows=tuple(rows),
    )


def _token_table(savings: Sequence[SetSavings], backbone: str) -> Table:
    columns = (
        Column(header="set"),
        *(Column(header=header, kind=Kind.COUNT) for header in ("samples", "images")),
        Column(header="tiles", kind=Kind.SCORE),
        Column(header="vision tokens", kind=Kind.SCORE),
        *(Column(header=header, kind=Kind.COUNT) for header in ("fewest", "most")),
    )
    rows = [
        Row(
            cells=(
                Cell(value=tokens.name),
                Cell(value=tokens.samples),
                Cell(value=tokens.images),
                score_cell(tokens.tiles),
                score_cell(tokens.vision_tokens),
                Cell(value=tokens.fewest),
                Cell(value=tokens.most),
            )
        )
        for tokens in (one.tokens for one in savings)
        if tokens is not None
    ]
    return Table(
        name=f"tokens-{backbone}",
        title=f"{backbone}: tiles and vision tokens of the dense model, from image sizes",
        caption="Means over samples with 95 % bootstrap intervals; vision tokens with newlines.",
        columns=columns,
        rows=tuple(rows),
    )


def _set_table(savings: SetSavings, backbone: str) -> Table:
    worst = any(method.at_least is not None for method in savings.methods)
    columns = [
        Column(header="method"),
        Column(header="setting"),
        Column(header="vision tokens", kind=Kind.SCORE),
        Column(header="paper", kind=Kind.SAVING),
        Column(header="exact", kind=Kind.SAVING),
        *([Column(header="at least", kind=Kind.SAVING)] if worst else []),
        Column(header="causal", kind=Kind.SAVING),
        Column(header="end to end", kind=Kind.SAVING),
    ]
    groups: dict[object, list[MethodSaving]] = {}
    for method in sorted(savings.methods, key=lambda method: style.order(method.method)):
        costs = (method.method, method.vision_tokens, tuple(method.savings.values()), method.causal, method.at_least)
        groups.setdefault(costs, []).append(method)
    rows: list[Row] = []
    for alike in groups.values():
        rule = bool(rows) and alike[0].method != rows[-1].cells[0].value
        rows.append(Row(cells=tuple(_set_cells(alike, worst=worst)), rule=rule))
    at_least = " at least: exact, were every picture the worst for the method." if worst else ""
    return Table(
        name=f"image-savings-{backbone}-{_slug(savings.name)}",
        title=f"{backbone}, {savings.name}: savings from image sizes",
        caption=f"95 % bootstrap intervals over samples; vision tokens: mean that enters the decoder.{at_least}",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _set_cells(alike: Sequence[MethodSaving], *, worst: bool) -> list[Cell]:
    method = alike[0]
    at_least = [] if not worst else [EMPTY if method.at_least is None else Cell(value=method.at_least.estimate)]
    return [
        Cell(value=method.method),
        Cell(value=method.setting, notes=_stands_for([other.setting for other in alike[1:]])),
        Cell(value=method.vision_tokens.estimate),
        Cell(value=method.savings[Accounting.PAPER].estimate),
        score_cell(method.savings[Accounting.EXACT]),
        *at_least,
        Cell(value=method.causal.estimate),
        score_cell(method.savings[Accounting.END_TO_END]),
    ]


Variants = Mapping[str, Mapping[int, CountedCost]]  # variant -> vision tokens -> line


def _grouped(variants: Variants) -> list[list[str]]:
    """Variants in the order in which figures list methods; settings of a method that cost the same go together."""
    groups: dict[object, list[str]] = {}
    for label in sorted(variants, key=lambda label: style.order(_first(variants, label).method)):
        costs = tuple(
            (line.cost.prefill, line.cost.decode, line.cost.nominal, line.cost.kv_cache_bytes)
            for line in variants[label].values()
        )
        groups.setdefault((_first(variants, label).method, costs), []).append(label)
    return list(groups.values())


def _same_cost(variants: Variants, alike: Sequence[str]) -> tuple[str, ...]:
    """Which other settings a row stands for."""
    return _stands_for([_first(variants, label).setting for label in alike[1:]])


def _stands_for(settings: Sequence[str]) -> tuple[str, ...]:
    """A footnote; of `2x [1, 7]` the layers alone, so that methods share it."""
    layers = [setting[setting.find("[") :] if "[" in setting else setting for setting in settings]
    return (f"the same cost: {', '.join(dict.fromkeys(layers))}",) if layers else ()


def _first(variants: Variants, label: str) -> CountedCost:
    return next(iter(variants[label].values()))


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
