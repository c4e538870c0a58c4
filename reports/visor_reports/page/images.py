"""The images behind samples, found by the hash of their pixels."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from importlib import resources

from visor_eval.records.hashes import rgb_hash

ImageSource = Callable[[frozenset[str]], Mapping[str, str]]  # hashes wanted -> hash: data URI, of those it has

LARGEST = 640  # pixels of the longer side; larger images are shrunk


def mini_images(hashes: frozenset[str]) -> dict[str, str]:
    """Images of the embedded mini suite, as PNG data URIs."""
    import pyarrow.parquet as parquet

    found: dict[str, str] = {}
    folder = resources.files("visor_tasks") / "mini" / "data"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".parquet")), key=lambda file: file.name)
    for file in files:
        if len(found) == len(hashes):
            break
        column = parquet.read_table(io.BytesIO(file.read_bytes()), columns=["image"]).column("image")
        for encoded in dict.fromkeys(image["bytes"] for image in column.to_pylist()):
            name, uri = read_image(encoded)
            if name in hashes:
                found[name] = uri
    return found


def read_image(encoded: bytes) -> tuple[str, str]:
    """(Hash over size and RGB pixels as in SampleRecord.image_hashes, data URI); shrunk to ``LARGEST``."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as opened:
        kind, image = opened.format, opened.convert("RGB")
    name = rgb_hash(image.width, image.height, image.tobytes())
    if max(image.size) > LARGEST or kind not in ("PNG", "JPEG", "WEBP"):
        image.thumbnail((LARGEST, LARGEST))
        buffer = io.BytesIO()
        image.save(buffer, format="WEBP", quality=80)
        kind, encoded = "WEBP", buffer.getvalue()
    return name, f"data:image/{kind.lower()};base64,{base64.b64encode(encoded).decode()}"


def find_images(hashes: Iterable[str], sources: Iterable[ImageSource]) -> dict[str, str]:
    """Data URIs of the images that one of the sources has; the others are shown as missing."""
    found: dict[str, str] = {}
    wanted = frozenset(hashes)
    for source in sources:
        if missing := wanted - found.keys():
            found.update(source(missing))
    return found
