"""`visor-eval bench`: does the clock agree with the FLOPs?"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_kernels, add_model_flags, flag, models, names
from visor_eval.errors import SetupError

if TYPE_CHECKING:
    from visor_eval.cost.shapes import BackboneShape


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "bench",
        help="time and memory of methods beside dense, phase by phase, against what their FLOPs predict",
        description="Time dense and methods side by side on an image of noise: what a model says is not looked at. "
        "What is measured, and how: docs/speed.md.",
        epilog="Example: visor-eval bench --random-weights llava-ov-0.5b --model visor,visionzip --decoder_only",
    )
    flag(parser, "--random_weights", metavar="SHAPE", help="fill a shape (llava-ov-0.5b) with noise; no checkpoint")
    flag(
        parser,
        "--vision_tokens",
        metavar="N[,N...]",
        help="of the dense model, newlines left out: tiles x tokens of a tile; default: two tiles",
    )
    flag(parser, "--text_tokens", type=int, default=32, metavar="N", help="prompt tokens behind the image; default 32")
    flag(parser, "--batch_size", type=int, default=1, metavar="N", help="equal rows; default 1")
    flag(parser, "--decode_steps", type=int, default=8, metavar="N", help="timed after each prefill; default 8")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timings of each method; default 5")
    flag(parser, "--decoder_only", action="store_true", help="leave tower and end to end out: quick at full size")
    add_kernels(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="of torch on a CPU")
    parser.add_argument("--layers", type=int, metavar="N", help="decoder layers of random weights, for a quick look")
    flag(parser, "--output_path", default="results", type=Path, help="the record is written below this folder")
    add_model_flags(parser, default="visor", several=True)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Measure, print the table, say where the record lies.

    Raises:
        SetupError: options of a method, which this verb does not take.
    """
    from visor_eval.harness.settings import resolve_device, resolve_dtype
    from visor_eval.probes.bench import BenchRequest, bench
    from visor_reports.speed import speed_markdown, speed_text

    if options.model_args:
        raise SetupError("visor-eval bench times methods with their default options: leave --model_args out")
    device = resolve_device(options.device)
    record, folder = bench(
        BenchRequest(
            models=models(options.model, options.pretrained),
            configurations=tuple(filter(None, (part.strip() for part in (options.config or "1,4").split(";")))),
            vision_tokens=_counts(options.vision_tokens),
            random_weights=_shape(options.random_weights, options.layers),
            pretrained=options.pretrained,
            text_tokens=options.text_tokens,
            batch_size=options.batch_size,
            decode_steps=options.decode_steps,
            rounds=options.rounds,
            whole=not options.decoder_only,
            kernels=options.kernels,
            device=device,
            dtype=resolve_dtype(options.dtype, device),
            threads=options.threads,
            output_path=options.output_path,
        )
    )
    report = folder / "bench.md"
    report.write_text(speed_markdown(record), encoding="utf-8")
    say(speed_text(record))
    say(f"written: {folder / 'bench.json'}, {report}")
    return 0


def _shape(name: str | None, layers: int | None) -> "BackboneShape | None":
    from visor_eval.cost.shapes import backbone
    from visor_eval.probes.random_weights import shallower

    if name is None:
        if layers is not None:
            raise SetupError("--layers makes random weights shallower; a checkpoint has the layers that it has")
        return None
    try:
        return shallower(backbone(name), layers=layers)
    except ValueError as error:
        raise SetupError(f"--random_weights: {error}") from error


def _counts(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part.replace("_", "")) for part in names(text or ""))
    except ValueError:
        raise SetupError(f"--vision_tokens {text}: give numbers, comma-separated") from None
