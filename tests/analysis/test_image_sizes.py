"""Sizes of folders, Parquet and CSV files; what cannot be read is one clear line."""

import io
from pathlib import Path

import pytest
from PIL import Image

from visor_eval.analysis.image_savings import ImageSet
from visor_eval.analysis.image_sizes import read_image_sets
from visor_eval.errors import SetupError


def encoded(width: int, height: int, orientation: int | None = None) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def parquet(path: Path, columns: dict[str, list]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encoded(30, 20))
    (folder / "below" / "b.JPG").write_bytes(encoded(30, 20, orientation=6))  # a quarter turn
    (folder / "notes.txt").write_text("no picture")
    assert read_image_sets([folder]) == [ImageSet(name="photos", samples=(((20, 30),), ((30, 20),)))]


def test_pictures_in_a_column(tmp_path: Path) -> None:
    one = {"bytes": encoded(30, 20), "path": None}
    single = parquet(tmp_path / "single.parquet", {"image": [one, None], "question": ["a", "b"]})
    several = parquet(tmp_path / "several.parquet", {"pictures": [[one, one], []]})
    assert read_image_sets([single])[0].samples == (((20, 30),), ())
    assert read_image_sets([several], "pictures")[0].samples == (((20, 30), (20, 30)), ())


def test_sizes_in_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,height,width\n1,20,30\n2,5,7\n")
    (tmp_path / "b.csv").write_text("size\n30x20\n")
    parquet(tmp_path / "c.parquet", {"image_height": [20], "image_width": [30]})
    parquet(tmp_path / "d.parquet", {"size": [[30, 20]]})
    sets = read_image_sets([tmp_path])
    assert [one.name for one in sets] == ["a", "b", "c", "d"]
    assert sets[0].samples == (((20, 30),), ((5, 7),))
    assert all(one.samples == (((20, 30),),) for one in sets[1:])


def test_the_mini_suite() -> None:
    from visor_tasks.lmms_yaml import MINI_DATA

    (one,) = read_image_sets([MINI_DATA / "docvqa_val.parquet"])
    assert len(one.samples) == 120
    assert all(len(sizes) == 1 for sizes in one.samples)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "height,width\n3,no\n", "x.csv, line 2: no x 3 is not a size in pixels: correct or remove the row"),
        ("x.csv", "height,width\n0,4\n", "4 x 0 is not a size"),
        ("x.csv", "height,width\n", "it has no rows"),
        ("x.csv", "a,b\n1,2\n", "no column height and width, size .* or image among a, b; name it with --column"),
        ("x.csv", "image\nnowhere.png\n", "x.csv, line 2: nowhere.png: not a readable picture .*: repair or remove it"),
        ("x.parquet", "garbage", "not a readable Parquet file"),
        ("x.json", "{}", "give a folder of pictures, or a .parquet or .csv file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SetupError, match=message):
        read_image_sets([tmp_path / name])


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such file or folder"):
        read_image_sets([tmp_path / "gone"])
    with pytest.raises(SetupError, match="no pictures in it"):
        read_image_sets([tmp_path])
    (tmp_path / "bad.png").write_bytes(b"garbage")
    with pytest.raises(SetupError, match=r"bad.png: not a readable picture \(.*\): repair or remove it"):
        read_image_sets([tmp_path])
    (tmp_path / "bad.png").write_bytes(encoded(3, 3))
    with pytest.raises(SetupError, match="two sets are called"):
        read_image_sets([tmp_path, tmp_path])
    (tmp_path / "ok.csv").write_text("size\n3x3\n")
    with pytest.raises(SetupError, match=r"--column height: .* has the columns size"):
        read_image_sets([tmp_path / "ok.csv"], "height")
