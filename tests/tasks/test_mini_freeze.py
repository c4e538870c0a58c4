"""The frozen test split can be made again, and lmms-eval's loader reads it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from visor_tasks.mini import HARD, TASKS, stream_item
from visor_tasks.mini import freeze as frozen
from visor_tasks.mini.rows import rows


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads((frozen.DATA / "manifest.json").read_text())


def test_frozen_files_are_what_the_generator_makes() -> None:
    assert frozen.check(frozen.DATA) == []


def test_check_finds_a_changed_answer(tmp_path: Path) -> None:
    samples = rows("gqa", "test", 1, 4)
    before = frozen.content_hash(samples)
    samples[2]["answer"] = "grue"
    assert frozen.content_hash(samples) != before


def test_hash_does_not_depend_on_the_png_writer() -> None:
    import io

    from PIL import Image

    samples = rows("gqa", "test", 1, 2)
    before = frozen.content_hash(samples)
    for sample in samples:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(sample["image"]["bytes"])).save(buffer, format="PNG", compress_level=0)
        assert buffer.getvalue() != sample["image"]["bytes"]
        sample["image"]["bytes"] = buffer.getvalue()
    assert frozen.content_hash(samples) == before


@pytest.mark.parametrize("task", TASKS)
def test_frozen_rows_are_distinct_scenes_that_no_training_stream_shows(task: str) -> None:
    hashes = [row["scene_hash"] for row in frozen.read_parquet(frozen.DATA / f"{task}.parquet")]
    assert len(set(hashes)) == len(hashes) / (2 if task == "mme" else 1)
    for split in ("train", "dev"):
        assert not set(hashes) & {stream_item(split, task, 0, index).scene_hash for index in range(100)}


@pytest.mark.parametrize("task", HARD)
def test_who_never_looks_is_seldom_right_on_hard_tasks(task: str, manifest: dict) -> None:
    """A template that told its answer would raise the chance level to 100."""
    samples = frozen.read_parquet(frozen.DATA / f"{task}.parquet")
    right = 0
    for row in samples:
        answers = row["answers"] if "answers" in row else row["answer"]
        said = manifest["blind_answers"][task][row["template"]]
        right += said in (answers if isinstance(answers, list) else [answers])
    assert right < 0.15 * len(samples)


def test_mme_comes_in_pairs_and_pope_is_balanced() -> None:
    pairs: dict[str, list[dict]] = {}
    for row in frozen.read_parquet(frozen.DATA / "mme.parquet"):
        pairs.setdefault(row["question_id"], []).append(row)
    assert all(sorted(row["answer"] for row in pair) == ["No", "Yes"] for pair in pairs.values())
    assert all(len({row["image"]["bytes"] for row in pair}) == 1 for pair in pairs.values())
    categories = Counter(pair[0]["category"] for pair in pairs.values())
    assert set(categories) == {"existence", "count", "position", "color", "OCR", "numerical_calculation"}
    pope = Counter(row["answer"] for row in frozen.read_parquet(frozen.DATA / "pope.parquet"))
    assert pope["yes"] == pope["no"]


def test_odd_mme_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        rows("mme", "test", 0, 3)


def test_manifest_names_an_answer_for_every_template(manifest: dict) -> None:
    for task in TASKS:
        assert set(manifest["templates"][task]) <= set(manifest["blind_answers"][task])
        assert sum(manifest["templates"][task].values()) == manifest["rows"][task] == frozen.ROWS


def test_ocrbench_has_its_ten_question_types() -> None:
    found = {row["question_type"] for row in frozen.read_parquet(frozen.DATA / "ocrbench.parquet")}
    assert len(found) == 10


@pytest.mark.parametrize("task", ["docvqa_val", "mme", "scienceqa_img"])
def test_datasets_decodes_the_images(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    path = frozen.DATA / f"{task}.parquet"
    loaded = datasets.load_dataset("parquet", data_files={"test": str(path)}, cache_dir=str(tmp_path))["test"]
    image = loaded[0]["image"]
    assert image.mode == "RGB"
    assert image.width % 56 == image.height % 56 == 0
