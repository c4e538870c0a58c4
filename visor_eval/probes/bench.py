"""`visor-eval bench`: dense and every method side by side, on the same weights, image and kernels.

Interleaved: round i times every method once, in alternating order, so that a slower machine slows all of them. Each
method runs once before the first round; that run is not timed, its memory is measured instead.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from visor_eval.errors import SetupError
from visor_eval.harness.builders import dense_engine
from visor_eval.harness.checkpoints import parse_pretrained
from visor_eval.harness.registry import load_engine, make_parts, parse_model, takes_config
from visor_eval.harness.resume import new_run_id
from visor_eval.models.devices import device_name, torch_device
from visor_eval.models.encoded import TiledImage
from visor_eval.models.kernels import kernels
from visor_eval.models.layout import Layout
from visor_eval.models.loading import torch_dtype
from visor_eval.models.reduction import Reduction
from visor_eval.probes.contender import Contender, Seen, StockForward, Workload
from visor_eval.probes.random_weights import random_backbone, random_visor, shallower
from visor_eval.probes.stopwatch import Stopwatch
from visor_eval.records import collect_provenance
from visor_eval.records.bench import BenchEntry, BenchFolder, BenchRecord
from visor_eval.visor.build import build_visor_zero, visor_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from visor_eval.core.tokens import Need
    from visor_eval.cost.shapes import BackboneShape
    from visor_eval.models.engine import Engine
    from visor_eval.models.llava_onevision import LlavaOnevision
    from visor_eval.visor.modules import VisorModules

STOCK = "transformers"  # the name of the stock forward among the methods
NO_NEWLINES = Layout(newline="none")  # so that t tiles are t x 729 vision tokens
LONGEST_SIDE = 6  # tiles along one side of a canvas
MOST_TILES = 9  # of a canvas, before it is shrunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What is to be measured.

    Attributes:
        models: methods, as for --model; ``dense`` is added in front, ``transformers`` is the stock forward.
        configurations: VISOR configurations, as for --config; each VISOR method is measured in each.
        vision_tokens: images, by their vision tokens in the dense model: tiles x tokens of a tile; none: two tiles.
        random_weights: shape to fill with noise; None: the checkpoints below.
        pretrained: checkpoint, or one per model (dense=A,visor=B); None: each one's embedded member.
        text_tokens: all behind the image.
        batch_size: equal rows.
        decode_steps: timed after each prefill.
        rounds: timings of each method.
        whole: time tower, projector and end to end too; else the decoder and the reducers alone.
        kernels: what the decoder's layers run on (`models/kernels.py`).
        device: torch device.
        dtype: float32, bfloat16 or float16.
        threads: of torch on a CPU; None: as they are.
        output_path: the record's folder is created below.
    """

    models: tuple[str, ...] = ("dense", "visor")
    configurations: tuple[str, ...] = ("1,4",)
    vision_tokens: tuple[int, ...] = ()
    random_weights: BackboneShape | None = None
    pretrained: str | None = None
    text_tokens: int = 32
    batch_size: int = 1
    decode_steps: int = 8
    rounds: int = 5
    whole: bool = True
    kernels: str = "stock"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None
    output_path: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse numbers without a meaning."""
        counts = (self.text_tokens, self.batch_size, self.decode_steps, self.rounds, *self.vision_tokens)
        if min(counts) < 1:
            raise SetupError("vision tokens, text tokens, batch size, decode steps and rounds must be at least 1")


@dataclass(frozen=True)
class Entrant:
    """A method before it is given an image."""

    method: str
    configuration: tuple[int, ...] | None
    engine: Engine
    contender: type[Contender] = Contender


@torch.inference_mode()
def bench(request: BenchRequest) -> tuple[BenchRecord, Path]:
    """Measure, write ``bench.json`` after every image, and return the record and its folder.

    Raises:
        SetupError: unknown methods, shapes or devices; vision tokens that no image has.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    entrants = list(_entrants(request))
    dense = entrants[0].engine
    tile_tokens = dense.backbone.anyres.side**2
    images = request.vision_tokens or (2 * tile_tokens,)
    for tokens in images:
        _grid(tokens, tile_tokens)  # refuse before the first minute of work
    device = torch_device(request.device)
    folder = BenchFolder(request.output_path / new_run_id(request.output_path, "bench", _name(request)))
    record = BenchRecord(
        run_id=folder.path.name,
        backbone=_name(request),
        random_weights=request.random_weights is not None,
        layers=dense.shape.decoder.layers,
        dtype=request.dtype,
        hardware=device_name(device),
        threads=torch.get_num_threads(),
        kernels=request.kernels,
        batch_size=request.batch_size,
        text_tokens=request.text_tokens,
        decode_steps=request.decode_steps,
        rounds=request.rounds,
        entries=(),
        provenance=collect_provenance(device=f"{request.device} ({device_name(device)})"),
    )
    with kernels(request.kernels, [entrant.engine.decoder for entrant in entrants]):
        for tokens in images:
            entries = (*record.entries, *_measure(request, entrants, tokens, Stopwatch(device)))
            record = BenchRecord.from_dict({**record.to_dict(), "entries": [entry.to_dict() for entry in entries]})
            folder.write(record)
    return record, folder.path


def _measure(request: BenchRequest, entrants: Sequence[Entrant], tokens: int, watch: Stopwatch) -> list[BenchEntry]:
    contenders = list(_contenders(request, entrants, tokens))
    for contender in contenders:
        contender.warm_up(watch)
    for number in range(request.rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            contender.run(watch)
        logger.info("%d vision tokens: round %d of %d", tokens, number + 1, request.rounds)
    return [contender.entry() for contender in contenders]


def _contenders(request: BenchRequest, entrants: Sequence[Entrant], tokens: int) -> Iterator[Contender]:
    """Every method with its image; towers that are not timed run once for all methods that need the same of them."""
    seen: dict[tuple[int, int, frozenset[Need]], Seen] = {}
    for entrant in entrants:
        engine, backbone = entrant.engine, entrant.engine.backbone
        image, ids = _noise(engine, tokens), _text(backbone, request.text_tokens)
        workload = Workload(
            dense_vision_tokens=tokens,
            token_ids=ids,
            batch_size=request.batch_size,
            decode_steps=request.decode_steps,
            whole=request.whole,
        )
        contender = entrant.contender(entrant.method, entrant.configuration, engine, image, workload)
        if not request.whole:
            key = (id(backbone), len(image.pixels), engine.reduction.needs)
            if key not in seen:
                pixels = torch.cat([image.pixels] * request.batch_size)
                seen[key] = backbone.tower(pixels, engine.reduction.needs)
            contender.seen = seen[key]
        yield contender


def _entrants(request: BenchRequest) -> Iterator[Entrant]:
    """Dense first, then every method in the order given, VISOR once per configuration."""
    models = ("dense", *(model for model in dict.fromkeys(request.models) if model != "dense"))
    random = None if request.random_weights is None else _random(request, request.random_weights)
    sources = parse_pretrained(request.pretrained, models)
    for model in models:
        if model == STOCK:
            yield Entrant(model, None, _engine(request, "dense", None, random, sources), StockForward)
            continue
        for config in request.configurations if takes_config(model) else (None,):
            engine = _engine(request, model, config, random, sources)
            configuration = None if config is None or engine.chooser.probe_layer else engine.chooser.shared
            yield Entrant(model, configuration, engine)


@dataclass(frozen=True)
class RandomModel:
    """Noise that every method of a bench shares."""

    backbone: LlavaOnevision
    modules: VisorModules


def _random(request: BenchRequest, shape: BackboneShape) -> RandomModel:
    if not request.whole:
        shape = shallower(shape, tower_layers=1)
    backbone = random_backbone(shape, device=request.device, dtype=torch_dtype(request.dtype))
    return RandomModel(backbone, random_visor(backbone))


def _engine(
    request: BenchRequest,
    model: str,
    config: str | None,
    random: RandomModel | None,
    sources: Mapping[str, str | None],
) -> Engine:
    if random is None:
        return load_engine(
            model,
            pretrained=sources[model],
            device=request.device,
            dtype=request.dtype,
            config=config,
            newline=NO_NEWLINES.newline,
        )
    names = [method.name for method in parse_model(model)]
    parts = "+".join(name for name in names if not name.startswith("visor") and name != "dense")
    made = make_parts(parts, {}) if parts else ()
    if not takes_config(model):
        return dense_engine(random.backbone, made, NO_NEWLINES)
    reduction = Reduction(made, NO_NEWLINES)  # type: ignore[arg-type]
    if "visor-zero" in names:
        return build_visor_zero(random.backbone, config=config, reduction=reduction)
    packing = 2.0 if "visor-tr" in names else 1.0
    return visor_engine(
        random.backbone, random.modules, name=model, config=config, reduction=reduction, packing=packing
    )


def _noise(engine: Engine, tokens: int) -> TiledImage:
    """An image of noise that costs the dense model ``tokens`` vision tokens, as ``engine`` would cut it."""
    anyres = engine.backbone.anyres
    grid = _grid(tokens, anyres.side**2)
    rows, columns = grid or (1, 1)
    picture = engine.reduction.prepare(Image.new("RGB", (columns * anyres.tile_px, rows * anyres.tile_px)))
    if grid is not None:
        grid = anyres.count(picture.height, picture.width).grid
    tiles = 1 if grid is None else 1 + grid[0] * grid[1]
    model = engine.backbone.model
    generator = torch.Generator().manual_seed(tokens)
    pixels = torch.randn(tiles, 3, anyres.tile_px, anyres.tile_px, generator=generator).clamp(-1, 1)
    return TiledImage(pixels=pixels.to(model.device), size=(picture.height, picture.width), grid=grid)


def _grid(tokens: int, tile_tokens: int) -> tuple[int, int] | None:
    """The canvas of an image of ``tokens`` vision tokens; None: a single tile, as in prompts with several images."""
    grids = {1 + rows * columns: (rows, columns) for rows, columns in _canvases()}
    known: dict[int, tuple[int, int] | None] = {1: None, **grids}
    tiles, rest = divmod(tokens, tile_tokens)
    if rest or tiles not in known:
        valid = ", ".join(str(count * tile_tokens) for count in sorted(known))
        raise SetupError(f"no image has {tokens} vision tokens (newlines left out); possible: {valid}")
    return known[tiles]


def _canvases() -> list[tuple[int, int]]:
    """Rows and columns of tiles; of equally many the squarest comes last."""
    sides = range(1, LONGEST_SIDE + 1)
    return [(rows, cols) for rows in sides for cols in sides if rows <= cols and rows * cols <= MOST_TILES]


def _text(backbone: LlavaOnevision, count: int) -> torch.Tensor:
    """The image's placeholder, then ``count`` text tokens."""
    image = backbone.model.config.image_token_id
    ids = [image, *((image + 1 + number) % backbone.shape.decoder.vocab for number in range(count))]
    return torch.tensor(ids, device=backbone.model.device)


def _name(request: BenchRequest) -> str:
    return request.random_weights.name if request.random_weights else Path(request.pretrained or "embedded").name
