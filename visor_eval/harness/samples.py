"""From lmms-eval's requests to ours: images, prompt and generation settings of one sample."""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from visor_eval.errors import SetupError
from visor_eval.records.hashes import rgb_hash
from visor_tasks.suites import group_of

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

    from visor_eval.models.engine import Request

DEFAULT_NEW_TOKENS = 64  # for tasks that set no max_new_tokens (textvqa_val)
# What opening, decoding or turning one raises; struct.error: damaged EXIF.
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question to answer, its images not yet decoded."""

    task: str
    doc_id: int  # position in the task's dataset
    split: str
    prompt: str  # user turn
    generation: Mapping[str, Any]
    visuals: Any = field(repr=False)  # doc -> list of images
    pixels: int = 0  # of all images; 0: unknown
    padding: bool = False  # a clone that fills up a rank; answered, never accounted

    @property
    def key(self) -> tuple[str, int]:
        """Task and document."""
        return self.task, self.doc_id


def from_instance(instance: "Instance", *, simple: bool, pixels: int = 0) -> Sample:
    """Read one ``generate_until`` request of lmms-eval, in its simple or its chat form.

    Raises:
        SetupError: the task asks for something other than greedy decoding.
    """
    if simple:
        prompt, generation, visuals, doc_id, task, split = instance.arguments
    else:
        prompt, to_messages, generation, doc_id, task, split = instance.arguments

        def visuals(doc: Mapping[str, Any]) -> list[object]:
            return _message_images(to_messages(doc), task)

    _check_greedy(task, generation)
    return Sample(
        task=task,
        doc_id=doc_id,
        split=split,
        prompt=prompt,
        generation=generation,
        visuals=visuals,
        pixels=pixels,
        padding=bool((instance.metadata or {}).get("__padding_only__")),
    )


def read_images(sample: Sample, dataset: Mapping[str, Any], source: int | None = None) -> tuple[Image.Image, ...]:
    """Decode a sample's images, in order, as RGB.

    Args:
        sample: The sample.
        dataset: Its task's splits.
        source: Take the images of this document instead (`--shuffle-images`).

    Raises:
        SetupError: an image cannot be read; the message names task and sample.
    """
    doc_id = sample.doc_id if source is None else source
    try:
        found = sample.visuals(dataset[sample.split][doc_id]) or []
        return tuple(_as_image(visual).convert("RGB") for visual in found)
    except IMAGE_ERRORS as error:
        raise unreadable(sample.task, doc_id, error) from error


def unreadable(task: str, doc_id: int, error: Exception) -> SetupError:
    """The error for an image that cannot be decoded."""
    return SetupError(
        f"an image of {task}, sample {doc_id}, cannot be read ({type(error).__name__}: {error}): "
        "repair or replace that image in the data, then run the same command again; finished samples are kept"
    )


def upright(image: Image.Image) -> Image.Image:
    """The image as a camera says that it is held (EXIF orientation), which is how ``datasets`` decodes."""
    return ImageOps.exif_transpose(image)


def to_request(sample: Sample, images: tuple[Image.Image, ...]) -> "Request":
    """The engine's request of a sample."""
    from visor_eval.models.engine import Request

    return Request(
        images=images,
        prompt=sample.prompt,
        max_new_tokens=max_new_tokens(sample.generation),
        stop=stop_strings(sample.generation),
        group=group_of(sample.task),
    )


def max_new_tokens(generation: Mapping[str, Any]) -> int:
    """The task's limit, or our default where it names none."""
    return int(generation.get("max_new_tokens") or DEFAULT_NEW_TOKENS)


def stop_strings(generation: Mapping[str, Any]) -> tuple[str, ...]:
    """The task's ``until``, as a tuple; an empty string stops nothing."""
    until = generation.get("until") or ()
    return (until,) if isinstance(until, str) else tuple(filter(None, until))


def image_hash(image: Image.Image) -> str:
    """SHA-256 over size and RGB pixels."""
    return rgb_hash(image.width, image.height, image.tobytes())


def request_hash(identity: str, sample: Sample, image_hashes: Sequence[str]) -> str:
    """Over everything the answer depends on: model and settings (``identity``), prompt, images, generation."""
    parts = [
        identity,
        sample.prompt,
        list(image_hashes),
        max_new_tokens(sample.generation),
        list(stop_strings(sample.generation)),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def media_columns(dataset: Any) -> list[str]:
    """Names of the columns that hold an image or a list of images."""
    from datasets import Image as ImageFeature

    def is_image(feature: object) -> bool:
        return isinstance(feature, ImageFeature) or isinstance(getattr(feature, "feature", None), ImageFeature)

    return [name for name, feature in dataset.features.items() if is_image(feature)]


def raw_images(dataset: Any) -> Iterator[list[bytes]]:
    """The encoded images of one document after the other, not decoded; none where a cell is empty or only a path."""
    from datasets import Image as ImageFeature
    from datasets import Sequence as Many

    columns = media_columns(dataset)
    view = dataset.select_columns(columns) if columns else dataset
    for name in columns:
        plain = ImageFeature(decode=False)
        single = isinstance(view.features[name], ImageFeature)
        view = view.cast_column(name, plain if single else Many(plain))
    for number in range(len(dataset)):
        row = view[number] if columns else {}
        cells = [cell for name in columns for cell in (row[name] if isinstance(row[name], list) else [row[name]])]
        yield [cell["bytes"] for cell in cells if cell and cell.get("bytes")]


def pixel_counts(dataset: Any) -> list[int]:
    """Pixels per document, from the images' headers; 0 where a header cannot be read (decoding will name it)."""
    counts = []
    for images in raw_images(dataset):
        total = 0
        for data in images:
            try:
                width, height = Image.open(BytesIO(data)).size
                total += width * height
            except IMAGE_ERRORS:
                continue
        counts.append(total)
    return counts


def _as_image(visual: object) -> Image.Image:
    if isinstance(visual, Image.Image):
        return visual
    if isinstance(visual, str):
        return upright(Image.open(visual))
    raise SetupError(f"only images can be shown to these models, the task gives {type(visual).__name__}")


def _message_images(messages: Sequence[Mapping[str, Any]], task: str) -> list[object]:
    content = [item for message in messages for item in message["content"]]
    other = {item["type"] for item in content} - {"image", "text"}
    if other:
        raise SetupError(f"task {task} holds {', '.join(sorted(other))}; these models take images only")
    return [item["url"] for item in content if item["type"] == "image"]


def _check_greedy(task: str, generation: Mapping[str, Any]) -> None:
    beams, temperature = generation.get("num_beams") or 1, generation.get("temperature") or 0
    if generation.get("do_sample") or beams > 1 or temperature > 0:
        raise SetupError(f"task {task} asks for sampling or beam search ({dict(generation)}); decoding here is greedy")
