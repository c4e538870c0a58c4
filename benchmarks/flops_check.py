"""The closed form against what torch dispatches and what fvcore traces, for every method in every setting.

    python -m benchmarks.flops_check [--output DIR] [--skip-full-size]

Part 1 runs each method for real on the tests' tiny random LLaVA-OneVision (24 layers, grouped heads), from pixels to
the last generated token: closed form from image size and prompt length alone, against torch's FlopCounterMode, prefill
and decode apart; and against fvcore, which traces the same prefill with eager attention and counts multiply-adds
(`as is`, and with a handle for the SDPA calls that it does not know). Part 2 executes every plan at full size on the
meta device: layers, added blocks, router, LM head; prefill and decode, at 729 and 7,290 vision tokens. Which tokens
pruners and reducers keep depends on data that the meta device has not got: part 1 alone has their scores.
"""

import argparse
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.baselines.test_closed_form import PRUNING
from tests.conftest import picture, random_backbone
from tests.cost.dispatched import Reference
from tests.visor.conftest import random_modules
from visor_baselines.downsample import Downsample
from visor_baselines.downsample_image import DownsampleImage
from visor_baselines.hired import HiRED
from visor_baselines.m3 import M3
from visor_baselines.pyramiddrop import PyramidDrop
from visor_baselines.random_keep import RandomKeep
from visor_baselines.visionzip import VisionZip
from visor_baselines.vispruner import VisPruner, VisPruner16x
from visor_eval.cost import BACKBONES, BackboneShape, VisorShape, configurations
from visor_eval.cost.estimate import Text, entering_tokens, for_images, for_tokens
from visor_eval.cost.plan import LayerPlan, Reader
from visor_eval.cost.variants import Variant, distinct_methods, variants
from visor_eval.models.engine import Engine, Request
from visor_eval.models.generation import Limits, generate
from visor_eval.models.reduction import Reduction
from visor_eval.models.shapes import backbone_shape
from visor_eval.records import DECODER_COMPONENTS, CostRecord
from visor_eval.visor.build import build_visor_zero, visor_engine
from visor_eval.visor.packing import TokenPacking

SIZE = (112, 168)  # height, width: six tiles and the thumbnail, no padding
PROMPT, STEPS = "what is the colour of red circle", 4
REDUCERS = [VisionZip(), VisPruner(), VisPruner16x(), HiRED(), M3(), M3(factor=16), Downsample(), DownsampleImage()]
NUMBERS = (729, 7290)
SDPA, CONVOLUTION = "aten::scaled_dot_product_attention", "aten::_convolution_mode"
MATRIX_PRODUCTS = ("linear", "matmul", "bmm", "addmm", "mm", "conv", "einsum")  # fvcore counts norms and pooling too
HEADING = f"""# The closed form, what torch dispatches, what fvcore traces

Made by `uv run python -m benchmarks.flops_check --output docs` with torch {torch.__version__.split("+")[0]}."""
EXPLAINED = (
    "Closed form from image size and prompt length alone: HiRED's shares follow from attention and are taken as even; "
    "SparseVLM's raters as all words behind the image, the most there can be. fvcore counts multiply-adds (norms and "
    "pooling left out here) with eager attention; it has no formula for SDPA, which VISOR's added blocks call, nor for "
    "a convolution with padding by name, SigLIP's patch embedding; a router's MLP is not in its graph, as its choice "
    "leaves it as a number."
)


@dataclass(frozen=True)
class Case:
    """One method on the tiny model, and what the closed form knows of it."""

    name: str
    engine: Engine
    variant: Variant


@dataclass(frozen=True)
class Traced:
    """What fvcore counted of one prefill, in multiply-adds."""

    as_is: int  # matrix products alone
    unknown: int  # in operators for which it has no formula


def main() -> None:
    """Print both tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder for flops_check.md")
    parser.add_argument("--skip-full-size", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    torch.manual_seed(0)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
    blocks = [HEADING]
    for part in (small_table, *(() if options.skip_full_size else (full_size_table,))):
        blocks.append(part())
        sys.stdout.write(f"{blocks[-1]}\n\n")
        sys.stdout.flush()
        if options.output is not None:
            (options.output / "flops_check.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


# --- part 1: every method for real, on a tiny model ------------------------------------------------------------------
def small_table() -> str:
    """Closed form, FlopCounterMode and fvcore, method by method."""
    backbone = random_backbone()
    known = replace(backbone_shape(backbone.model.config, "random"), images=backbone.anyres)
    rows, wrong = [], 0
    for case in cases(backbone, known):
        recorded, prefill, decode = dispatched(case.engine)
        text = Text(prompt=recorded.text_tokens, prefix=prefix_tokens(case.engine), generated=recorded.generated_tokens)
        counted = for_images(known, case.variant, [SIZE], text)
        traced = fvcore_prefill(case.engine)
        wrong += (recorded.prefill.total(), recorded.decode.total()) != (prefill, decode)
        rows.append(
            (
                case.name,
                f"{prefill:,}",
                f"{decode:,}",
                difference(prefill, recorded.prefill.total()),
                difference(decode, recorded.decode.total()),
                difference(prefill, counted.prefill.total()),
                difference(decode, counted.decode.total()),
                difference(prefill, 2 * traced.as_is),
                f"{2 * traced.unknown:,}",
                difference(prefill, 2 * (traced.as_is + traced.unknown)),
            )
        )
    headers = (
        "method",
        "dispatched, prefill",
        "decode",
        "recorded - dispatched, prefill",
        "decode",
        "closed form - dispatched, prefill",
        "decode",
        "fvcore x 2 - dispatched, prefill",
        "in operators that it does not know",
        "with them",
    )
    note = (
        f"{len(rows)} methods and settings on the tiny random model, {SIZE[1]} x {SIZE[0]} px, {STEPS} tokens "
        f"generated; prefill with tower, projector and reducer. Runs whose record differs from what was dispatched: "
        f"{wrong}. {EXPLAINED}"
    )
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return f"## Every method, really run, on a tiny model\n\n{table}\n\n{fill(note, 120)}"


def difference(first: int, second: int) -> str:
    """Their difference, to the unit."""
    return f"{second - first:+,}" if second != first else "0"


def cases(backbone, known: BackboneShape) -> list[Case]:  # noqa: ANN001
    """Every method in every setting on the tiny model."""
    shape = replace(known, images=None)
    found = [Case("dense", Engine(backbone, shape), Variant(method="dense"))]
    for part in [*REDUCERS, RandomKeep()]:
        variant = Variant(method="m", reducers=(part,))
        found.append(Case(label(part), Engine(backbone, shape, reduction=Reduction((part,))), variant))
    for part in [PyramidDrop(schedule="easy"), *PRUNING]:
        found.append(Case(label(part), Engine(backbone, shape, pruner=part), Variant(method="m", pruner=part)))
    for packing in (1.0, 2.0, 4.0):
        modules = random_modules(backbone, packing=packing)
        visor = VisorShape(read_layers=modules.config.read_layers)
        reducers = (TokenPacking(factor=packing),) if packing > 1 else ()
        for configuration in configurations(24):
            engine = visor_engine(backbone, modules, config=",".join(map(str, configuration)))
            variant = Variant(method="v", full=configuration, read=visor.read_layers, visor=visor, reducers=reducers)
            name = "visor" if packing == 1 else f"visor-tr {packing:g}x"
            found.append(Case(f"{name} {list(configuration)}", engine, variant))
    routed = visor_engine(backbone, random_modules(backbone, router=True, router_hidden=16))
    choice = routed.answer([request()])[0].cost.configuration
    read = tuple(routed.decoder.readers)
    visor = VisorShape(read_layers=read, router_hidden=16)
    found.append(Case("visor, router", routed, Variant(method="v", full=choice, read=read, visor=visor)))
    for configuration in configurations(24):
        engine = build_visor_zero(backbone, config=",".join(map(str, configuration)))
        variant = Variant(method="z", full=configuration, read=read, reader=Reader.OWN)
        found.append(Case(f"visor-zero {list(configuration)}", engine, variant))
    return found


def label(part: object) -> str:
    """A part with the settings that are not its defaults."""
    text = repr(part)
    default = repr(type(part)())
    if text == default:
        return type(part).__name__
    own = [piece for piece in text[text.find("(") + 1 : -1].split(", ") if piece not in default]
    return f"{type(part).__name__} {', '.join(own)}"


def request() -> Request:
    """The one sample."""
    return Request(images=(picture(*SIZE, seed=3),), prompt=PROMPT, max_new_tokens=STEPS)


def prefix_tokens(engine: Engine) -> int:
    """Prompt tokens before the image."""
    (prompt,), _ = engine.read([request()])
    return prompt.prefix_tokens


@torch.inference_mode()
def dispatched(engine: Engine) -> tuple[CostRecord, int, int]:
    """(the record of a run, FLOPs that torch dispatched in prefill, and in decode)."""
    with FlopCounterMode(display=False) as counter:
        prompts, _ = engine.read([request()])
        state = engine.decoder.prefill(prompts, engine.chooser, [None])
        prefill = counter.get_total_flops()
        generate(
            engine.decoder,
            state,
            [Limits(max_new_tokens=STEPS)],
            end_tokens=engine.backbone.end_tokens,
            decode_text=engine.backbone.decode,
        )
        total = counter.get_total_flops()
    return engine.answer([request()])[0].cost, prefill, total - prefill


class Prefill(nn.Module):
    """A prefill from pixels to logits, as a module that can be traced."""

    def __init__(self, engine: Engine) -> None:
        """Hold what ``engine`` runs."""
        super().__init__()
        self.model = engine.backbone.model
        self.blocks = nn.ModuleList(module for module in engine.decoder.modules if module not in engine.decoder.layers)
        self.engine = engine

    def forward(self, unused: Tensor) -> Tensor:
        """Logits of the first token; the input only makes the module traceable."""
        prompts, _ = self.engine.read([request()])
        return self.engine.decoder.prefill(prompts, self.engine.chooser, [None]).logits + unused


def fvcore_prefill(engine: Engine) -> Traced:
    """Multiply-adds that fvcore counts with eager attention."""
    from fvcore.nn import FlopCountAnalysis

    model = engine.backbone.model
    model.set_attn_implementation({"vision_config": "eager", "text_config": "eager"})
    try:
        with torch.no_grad(), plain_sizes():
            analysis = FlopCountAnalysis(Prefill(engine), torch.zeros(1)).unsupported_ops_warnings(False)
            analysis.set_op_handle(SDPA, sdpa_multiply_adds, CONVOLUTION, convolution_multiply_adds)
            counts = analysis.by_operator()
    finally:
        model.set_attn_implementation({"vision_config": "sdpa", "text_config": "sdpa"})
    unknown = sum(int(counts.get(name.removeprefix("aten::"), 0)) for name in (SDPA, CONVOLUTION))
    return Traced(as_is=sum(int(counts.get(name, 0)) for name in MATRIX_PRODUCTS), unknown=unknown)


@contextmanager
def plain_sizes() -> Iterator[None]:
    """While a module is traced, sizes are integers, so that Python can round them, and masks scatter as numbers."""
    base = torch._C.TensorBase

    def untraced(read: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object) -> object:
            state = torch._C._get_tracing_state()
            torch._C._set_tracing_state(None)  # type: ignore[arg-type]
            try:
                return read(*args)
            finally:
                torch._C._set_tracing_state(state)  # type: ignore[arg-type]

        return wrapper

    torch.Tensor.shape = property(untraced(base.shape.__get__))  # type: ignore[assignment, misc]
    torch.Tensor.size = untraced(base.size)  # type: ignore[assignment, method-assign]

    def scatter(self: Tensor, dim: int, index: Tensor, value: object) -> Tensor:
        """The tracer has no scatter of booleans."""
        return base.scatter(self.to(torch.uint8), dim, index, int(value)).to(self.dtype)  # type: ignore[call-overload]

    torch.Tensor.scatter = scatter  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del torch.Tensor.shape, torch.Tensor.size, torch.Tensor.scatter


def sdpa_multiply_adds(inputs: Sequence[object], outputs: Sequence[object]) -> int:
    """Scores and weighted sum, all query-key pairs, from the shapes of query, key and value."""
    query, key, value = (value.type().sizes() for value in inputs[:3])  # type: ignore[attr-defined]
    batch, heads, rows, width = query
    return batch * heads * rows * key[-2] * (width + value[-1])


def convolution_multiply_adds(inputs: Sequence[object], outputs: Sequence[object]) -> int:
    """A convolution whose padding is a name (SigLIP's patch embedding): one dot product per output."""
    weight, output = inputs[1].type().sizes(), outputs[0].type().sizes()  # type: ignore[attr-defined]
    return math.prod(output) * math.prod(weight[1:])


# --- part 2: every plan at full size, on the meta device -------------------------------------------------------------
def full_size_table() -> str:
    """Closed form against FlopCounterMode for the decoders of all backbones."""
    names = tuple(name for name in distinct_methods()[0] if name != "downsample-image")
    text, rows = Text(prompt=32, prefix=14, generated=3), []
    for shape in BACKBONES.values():
        checked = dict.fromkeys(NUMBERS, 0)
        wrong: list[str] = []
        largest = 0
        seen: dict[object, tuple[int, int]] = {}
        references: dict[VisorShape | None, Reference] = {}
        for variant in variants(names, shape):
            for number in NUMBERS:
                cost = for_tokens(shape, variant, number, text)
                entering, _ = entering_tokens(variant.pruner, shape, cost.vision_tokens, text)
                plan = variant.plan(shape.decoder.layers, entering)
                key = (tuple(sorted(plan.kinds.items(), key=repr)), variant.router)
                if key not in seen:
                    reference = references.setdefault(variant.visor, meta_reference(shape, variant.visor))
                    seen[key] = executed(reference, plan, text, routing=variant.router)
                closed = (cost.prefill.total(DECODER_COMPONENTS), cost.decode.total())
                checked[number] += 1
                largest = max(largest, closed[0])
                if closed != seen[key]:
                    wrong.append(f"{variant.label} at {number}")
        counts = ", ".join(f"{many} at {number:,}" for number, many in checked.items())
        rows.append((shape.name, counts, len(seen), f"{largest:,}", ", ".join(wrong) or "none"))
    headers = ("backbone", "settings checked", "plans executed", "largest prefill, FLOPs", "differences")
    note = "Prefill and 2 decode steps, 32 text tokens (14 before the image); plans of equal steps are executed once."
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return f"## Every plan at full size, on the meta device\n\n{table}\n\n{note}"


def meta_reference(shape: BackboneShape, visor: VisorShape | None) -> Reference:
    """Transformers' own layers of that size, without weights."""
    return Reference(replace(shape, tower=None, projector=None, native_tower=None, visor=visor), device="meta")


def executed(reference: Reference, plan: LayerPlan, text: Text, *, routing: bool) -> tuple[int, int]:
    """FLOPs that torch dispatches for prefill and decode of one plan."""
    readers = text.prompt - text.prefix
    with torch.no_grad():
        with FlopCounterMode(display=False) as prefill:
            reference.prefill(plan, text.prompt, readers, routing)
        if routing:
            reference.prefill(plan, text.prompt, readers)  # the routing token leaves no trace in the cache
        with FlopCounterMode(display=False) as decode:
            reference.decode(plan, text.prompt, text.generated - 1)
    return prefill.get_total_flops(), decode.get_total_flops()


if __name__ == "__main__":
    main()
