"""Image sizes of a dataset: a folder of pictures, or a Parquet or CSV file with sizes or pictures in a column.

Only headers are read. A picture turned by its EXIF orientation counts as it is shown.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from visor_eval.analysis.image_savings import ImageSet, Sizes
from visor_eval.errors import SetupError

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))
TABLES = (".parquet", ".csv")
SIZE_COLUMNS = (("height", "width"), ("image_height", "image_width"), ("h", "w"))
SIZE_COLUMN = "size"  # "640x480": width x height
IMAGE_COLUMNS = ("image", "images", "image_list")

_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that swap the sides
_ORIENTATION = 0x0112


def read_image_sets(paths: Iterable[Path], column: str | None = None) -> list[ImageSet]:
    """One set per folder of pictures and per file; a folder of Parquet or CSV files gives one set for each of them.

    Args:
        paths: folders and files.
        column: the column that holds pictures or sizes; default: looked for.

    Raises:
        SetupError: nothing there, nothing readable, or a picture that cannot be read; the message names it.
    """
    sets: list[ImageSet] = []
    for path in paths:
        if not path.exists():
            raise SetupError(f"--images {path}: there is no such file or folder")
        tables = sorted(file for file in path.iterdir() if file.suffix.lower() in TABLES) if path.is_dir() else [path]
        if path.is_dir() and not tables:
            sets.append(_folder(path))
        sets += [_table(table, column) for table in tables]
    names = [one.name for one in sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SetupError(f"--images: two sets are called {twice[0]!r}: rename one")
    return sets


def _folder(path: Path) -> ImageSet:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in PICTURES)
    if not files:
        endings = ", ".join(sorted(ending[1:] for ending in PICTURES | set(TABLES)))
        raise SetupError(f"--images {path}: no pictures in it; files with these endings are read: {endings}")
    return ImageSet(name=path.resolve().name, samples=tuple((_size(file, str(file)),) for file in files))


def _table(path: Path, column: str | None) -> ImageSet:
    if path.suffix.lower() not in TABLES:
        raise SetupError(f"--images {path}: give a folder of pictures, or a .parquet or .csv file")
    rows = _parquet(path, column) if path.suffix.lower() == ".parquet" else _csv(path, column)
    samples = tuple(rows)
    if not samples:
        raise SetupError(f"--images {path}: it has no rows")
    return ImageSet(name=path.stem, samples=samples)


def _parquet(path: Path, column: str | None) -> Iterator[Sizes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"--images {path}: not a readable Parquet file ({_short(error)})") from error
    chosen = _columns(path, file.schema_arrow.names, column)
    number = 0
    for batch in file.iter_batches(batch_size=64, columns=list(chosen)):
        for row in batch.to_pylist():
            number += 1
            yield _sizes(row, chosen, f"{path}, row {number}")


def _csv(path: Path, column: str | None) -> Iterator[Sizes]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            chosen = _columns(path, reader.fieldnames or (), column)
            for number, row in enumerate(reader, 2):
                yield _sizes(row, chosen, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"--images {path}: not a readable CSV file ({_short(error)})") from error


def _columns(path: Path, names: Iterable[str], column: str | None) -> tuple[str, ...]:
    """The columns to read: height and width, or one with sizes or pictures."""
    there = list(names)
    if column is not None:
        if column not in there:
            raise SetupError(f"--column {column}: {path} has the columns {', '.join(there)}")
        return (column,)
    for pair in SIZE_COLUMNS:
        if set(pair) <= set(there):
            return pair
    for name in (SIZE_COLUMN, *IMAGE_COLUMNS):
        if name in there:
            return (name,)
    wanted = "height and width, size (640x480) or image"
    raise SetupError(f"--images {path}: no column {wanted} among {', '.join(there)}; name it with --column")


def _sizes(row: dict[str, Any], columns: tuple[str, ...], where: str) -> Sizes:
    if len(columns) == 2:
        return (_checked(row[columns[0]], row[columns[1]], where),)
    value = row[columns[0]]
    if value is None:
        return ()  # a sample without a picture
    if isinstance(value, list) and not (len(value) == 2 and all(isinstance(side, int) for side in value)):
        return tuple(_one(item, where) for item in value if item is not None)
    return (_one(value, where),)


def _one(value: object, where: str) -> tuple[int, int]:
    """A picture as bytes, path or both (the image feature of `datasets`), or a size as width x height."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return _size(io.BytesIO(value), where)
    if isinstance(value, list) and len(value) == 2:
        return _checked(value[1], value[0], where)
    if isinstance(value, str):
        width, by, height = value.lower().partition("x")
        if by and width.strip().isdigit() and height.strip().isdigit():
            return _checked(height, width, where)
        return _size(Path(value), f"{where}: {value}")
    raise SetupError(f"{where}: neither a picture nor a size such as 640x480; name another column with --column")


def _checked(height: object, width: object, where: str) -> tuple[int, int]:
    try:
        sides = (int(str(height)), int(str(width)))
    except ValueError:
        raise SetupError(f"{where}: {width} x {height} is not a size in pixels: correct or remove the row") from None
    if min(sides) < 1:
        raise SetupError(f"{where}: {width} x {height} is not a size in pixels: correct or remove the row")
    return sides


def _size(source: Path | io.BytesIO, where: str) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SetupError(f"{where}: not a readable picture ({_short(error)}): repair or remove it") from error
    return (width, height) if turned else (height, width)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
