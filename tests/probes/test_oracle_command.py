"""`visor-eval oracle`: what it prints and writes, and mistakes answered in one line."""

import json
from io import BytesIO

import pytest
from PIL import Image

from visor_eval.analysis import task_score
from visor_eval.cli import main
from visor_eval.commands.oracle import LABEL_SEED
from visor_eval.harness.samples import image_hash
from visor_eval.harness.slices import images_in
from visor_eval.records import RunFolder, SweepFolder
from visor_eval.records.pseudo_labels import PseudoLabels
from visor_tasks.lmms_yaml import MINI_DATA, data_file
from visor_tasks.mini.rows import rows
from visor_tasks.suites import TASKS


@pytest.fixture(scope="module")
def suite_images() -> set[str]:
    """Every evaluation image."""
    return images_in()


def only(folder):
    """The one sweep in ``folder``."""
    (found,) = (path for path in folder.iterdir() if (path / SweepFolder.RECORD_FILE).exists())
    return found


def test_the_oracles_table(tmp_path, capsys):
    assert main(["oracle", "--tasks", "gqa,chartqa", "--limit", "3", "--output_path", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "mini suite: synthetic" in said
    assert "13 configurations, 6 samples" in said
    assert "oracle" in said
    assert "dense: none of these samples in" in said
    assert f"written: {only(tmp_path)}" in said
    assert len(SweepFolder(only(tmp_path)).load().samples) == 6


def test_a_dense_run_of_the_same_samples_stands_beside(tmp_path, capsys):
    """The newest one in the output folder, or the one that is named."""
    common = ["--tasks", "gqa", "--limit", "3"]
    assert main(["run", "--model", "dense", *common, "--output_path", str(tmp_path)]) == 0
    (dense,) = tmp_path.iterdir()
    capsys.readouterr()
    command = ["oracle", *common, "--configs", "1,4;1,7"]
    assert main([*command, "--output_path", str(tmp_path)]) == 0
    found = capsys.readouterr().out
    assert main([*command, "--output_path", str(tmp_path / "elsewhere"), "--dense", str(dense)]) == 0
    named = capsys.readouterr().out
    assert f"dense: {dense.name} (embedded:dense-tiny)" in found
    score = task_score(RunFolder(dense).load().samples)
    for said in (found, named):
        header, row = (next(line for line in said.splitlines() if line.startswith(name)) for name in ("task ", "gqa "))
        assert (header.split()[-1], row.split()[-1]) == ("dense", f"{score:.1f}")
    assert found.splitlines()[3:-1] == named.splitlines()[3:-1]


@pytest.mark.parametrize("rule", ["per-dataset", "per-sample"])
def test_labels_come_from_training_data_only(rule, tmp_path, capsys, suite_images):
    command = ["oracle", "--tasks", "gqa,pope", "--slice", "4", "--labels", rule, "--output_path", str(tmp_path)]
    assert main([*command, "--configs", "1,4;1,4,7,10,16,19,22"]) == 0
    assert "train data" in capsys.readouterr().out
    folder = only(tmp_path)
    labels = PseudoLabels.read(folder / f"labels-{rule}.json")
    samples = SweepFolder(folder).load().samples
    assert len(labels.by_task if rule == "per-dataset" else labels.by_sample) == (2 if rule == "per-dataset" else 8)
    assert labels.data["split"] == "train"
    assert labels.full == (1, 4, 7, 10, 16, 19, 22)
    used = {image for sample in samples for image in sample.image_hashes}
    expected = {
        image_hash(Image.open(BytesIO(row["image"]["bytes"])).convert("RGB"))
        for task in ("gqa", "pope")
        for row in rows(task, "train", LABEL_SEED, 4)
    }
    assert used == expected
    assert not used & suite_images


def test_evaluation_images_are_refused_as_training_data(tmp_path, capsys):
    """A user's folder that is a copy of the evaluation."""
    command = ["oracle", "--tasks", "gqa", "--limit", "1", "--labels", "per-dataset", "--data", str(MINI_DATA)]
    assert main([*command, "--configs", "1,4", "--output_path", str(tmp_path)]) == 2
    assert "belong to the evaluation suite" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_hashes_cover_the_whole_suite(suite_images):
    """Every image of every task, as the manifest counts them."""
    counted = json.loads((MINI_DATA / "manifest.json").read_text())["rows"]
    assert all(data_file(task).is_file() for task in TASKS)
    assert len(suite_images) == sum(count // (2 if task == "mme" else 1) for task, count in counted.items())


def test_a_search_ranks_and_proposes(tmp_path, capsys):
    command = ["oracle", "--search", "--tasks", "gqa", "--slice", "2", "--keep", "3", "--output_path", str(tmp_path)]
    assert main([*command, "--configs", "1,4;4;1;1,7;1,4,7,10;4,7,10"]) == 0
    said = capsys.readouterr().out
    assert "dev data" in said
    assert "6 configurations on 2 samples" in said
    assert "proposed" in said
    assert "first layer" in said
    assert all(result.answer is None for result in SweepFolder(only(tmp_path)).load().samples[0].results)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--labels per-dataset --search", "one after the other"),
        ("--labels per-dataset --split test", "training data only"),
        ("--labels per-dataset --no_answers", "leave --no_answers out"),
        ("--split dev --data .", "leave one of them out"),
        ("--config 1,4", "--configs"),
        ("--prune", "belongs to --search"),
        ("--dense nowhere", "no run.json"),
        ("--dense nowhere --search", "oracle's own table"),
        ("--configs 1,2 --tasks gqa --limit 1", "can be chosen from"),
        ("--search --slice 1", "give at least 2"),
        ("--search --suite paper", "paper suite has no dev data"),
        ("--model dense --limit 1 --tasks gqa", "no configurations to sweep"),
    ],
)
def test_mistakes_are_one_line(flags, message, tmp_path, capsys):
    assert main(["oracle", *flags.split(), "--output_path", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
