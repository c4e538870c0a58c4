"""Whole runs in this process, with a third party's fake engine over small data in the real schemas."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest
from datasets import Dataset, Features, Image

from tests.harness.real_schemas import MAKERS, ROWS, picture, rows
from visor_eval.analysis import task_score
from visor_eval.errors import SetupError
from visor_eval.harness.generation import GenerationError
from visor_eval.harness.runner import LMMS_RESULTS, FinishedRun, RunRequest, run
from visor_eval.records import Accounting, RunFolder, RunStatus, SampleRecord, read_journal
from visor_tasks.suites import TASKS, Suite


@pytest.fixture
def request_for(checkpoint: Path, data: Path, tmp_path: Path):
    """Make a RunRequest over the small data."""

    def make(**changes: object) -> RunRequest:
        base = RunRequest(
            models=("fake",), suite=Suite.MINI, pretrained=str(checkpoint), data=data, output_path=tmp_path / "results"
        )
        return replace(base, **changes)

    return make


@pytest.fixture(scope="module")
def whole(checkpoint: Path, data: Path, tmp_path_factory) -> FinishedRun:
    """All twelve tasks."""
    request = RunRequest(
        models=("fake",),
        suite=Suite.MINI,
        pretrained=str(checkpoint),
        data=data,
        output_path=tmp_path_factory.mktemp("whole"),
    )
    (finished,) = run(request)
    return finished


def test_a_run_leaves_complete_records(whole):
    loaded = RunFolder(whole.folder).load()
    assert loaded.run == whole.run.run
    assert loaded.samples == whole.run.samples
    assert len(loaded.samples) == 12 * ROWS
    record = loaded.run
    assert (record.status, record.suite, record.model) == (RunStatus.FINISHED, "mini", "fake")
    assert record.groups["hard"] == ("chartqa_mini", "ocrbench_mini", "infovqa_val_mini", "docvqa_val_mini")
    assert len(record.weights_hash) == len(record.suite_hash) == 64
    assert record.config["dtype"] == "float32"
    assert record.duration_s > 0
    assert record.sample_counts == dict.fromkeys(record.tasks, ROWS)


def test_samples_hold_what_analyses_need(whole):
    by_task: dict[str, list[SampleRecord]] = {}
    for sample in whole.run.samples:
        by_task.setdefault(sample.task, []).append(sample)
    mme, mmstar, doc = (by_task[name] for name in ("mme_mini", "mmstar_mini", "docvqa_val_mini"))
    assert [(s.stratum, s.unit) for s in mme[:3]] == [("existence", "q0"), ("existence", "q0"), ("color", "q1")]
    assert mmstar[0].stratum == "object counting"
    assert doc[2].references == ("value 2", "val. 2")
    assert doc[2].prompt == "Doc 2?\nAnswer the question using a single word or phrase."
    assert by_task["textvqa_val_mini"][0].references == ("word0",) * 10
    assert all(s.cost.total(Accounting.EXACT) == 100 and s.cost.latency_ms >= 0 for s in whole.run.samples)
    assert len({s.image_hashes for s in mme}) == ROWS / 2
    assert len({s.request_hash for s in whole.run.samples}) == len(whole.run.samples)


def test_scores_from_records_are_those_of_lmms_eval(whole):
    """Analysis recomputes from samples; lmms-eval aggregated itself. Two ways, one number."""
    reported = json.loads((whole.folder / LMMS_RESULTS).read_text())["results"]
    scores = {}
    for task in whole.run.run.tasks:
        scores[task] = task_score([sample for sample in whole.run.samples if sample.task == task])
        assert reported[task]["visor_score,none"] == pytest.approx(scores[task]), task
    assert len({round(score, 6) for score in scores.values()}) > 2


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int | None) -> None:
    """Interrupt every fake engine after so many samples."""
    import fake_methods

    monkeypatch.setattr(fake_methods, "STOP_AFTER", after)


def comparable(samples: Sequence[SampleRecord]) -> list[SampleRecord]:
    """Without what may differ between sessions."""
    return [
        replace(sample, run_id="", request_hash="", cost=replace(sample.cost, latency_ms=None, batch_size=1))
        for sample in samples
    ]


def test_an_interrupted_run_goes_on_and_equals_a_straight_one(request_for, whole, tmp_path, monkeypatch):
    log = tmp_path / "computed.log"
    request = request_for(model_args={"log": str(log)}, batch_size=8)
    interrupt(monkeypatch, 24)
    with pytest.raises(KeyboardInterrupt):
        run(request)
    (folder,) = request.output_path.iterdir()
    assert RunFolder(folder).read_run().status == RunStatus.STARTED
    assert len(read_journal(folder / "journal.jsonl")) == 24
    interrupt(monkeypatch, None)
    (resumed,) = run(replace(request, batch_size=None))  # the batch size changes no answer
    assert resumed.folder == folder
    computed = log.read_text().splitlines()
    assert len(computed) == len(set(computed)) == 12 * ROWS
    assert comparable(resumed.run.samples) == comparable(whole.run.samples)


def test_a_finished_run_is_never_continued_or_overwritten(request_for):
    first, second = (run(request_for(tasks=("pope",)))[0] for _ in range(2))
    assert first.folder != second.folder
    assert comparable(first.run.samples) == comparable(second.run.samples)


@pytest.mark.parametrize("change", [{"limit": 3}, {"seed": 7}, {"dtype": "bfloat16"}, {"tasks": ("pope", "gqa")}])
def test_other_settings_start_another_run(request_for, monkeypatch, change):
    interrupt(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        run(request_for(tasks=("pope",)))
    interrupt(monkeypatch, None)
    run(request_for(**{"tasks": ("pope",), **change}))
    assert len(list(request_for().output_path.iterdir())) == 2


def test_other_data_start_another_run(request_for, tmp_path, monkeypatch):
    interrupt(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        run(request_for(tasks=("pope",)))
    interrupt(monkeypatch, None)
    made, _, features = rows("pope")
    (tmp_path / "other").mkdir()
    Dataset.from_list(made[::-1], features=features).to_parquet(tmp_path / "other" / "pope.parquet")
    run(request_for(tasks=("pope",), data=tmp_path / "other"))
    assert len(list(request_for().output_path.iterdir())) == 2


def test_another_processor_starts_another_run(request_for, checkpoint, tmp_path, monkeypatch):
    """A chat template or a tokenizer changes every answer, and no weight."""
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    request = request_for(tasks=("pope",), pretrained=str(copy), batch_size=2)
    interrupt(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(request)
    interrupt(monkeypatch, None)
    (begun,) = request.output_path.iterdir()
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    (other,) = run(request)
    assert other.folder != begun
    old, new = RunFolder(begun).read_run(), other.run.run
    assert old.weights_hash == new.weights_hash
    assert old.config["processor"] != new.config["processor"]
    hashes = {key.request_hash for key in read_journal(begun / "journal.jsonl")}
    assert len(hashes) == 2
    assert not hashes & {sample.request_hash for sample in other.run.samples}


def test_runs_over_different_tasks_know_that_their_data_are_the_same(request_for, tmp_path):
    """Each task's own hash: not that of the whole choice, and not that of its first documents."""
    (one,), (both,) = (run(request_for(tasks=tasks, limit=2)) for tasks in (("pope",), ("gqa", "pope")))
    (more,) = run(request_for(tasks=("pope",), limit=3))
    assert set(both.run.run.data_hashes) == {"gqa_mini", "pope_mini"}
    assert one.run.run.same_data(both.run.run)
    assert one.run.run.same_data(more.run.run)
    made, _, features = rows("pope")
    (tmp_path / "other").mkdir()
    Dataset.from_list(made[::-1], features=features).to_parquet(tmp_path / "other" / "pope.parquet")
    (other,) = run(request_for(tasks=("pope",), limit=2, data=tmp_path / "other"))
    assert not other.run.run.same_data(both.run.run)


@pytest.mark.parametrize(("limit", "mme", "pope"), [(1, 2, 1), (3, 2, 3), (4, 4, 4), (100, 6, 6)])
def test_a_limit_never_splits_mme_pairs(request_for, limit, mme, pope):
    (finished,) = run(request_for(tasks=("mme", "pope"), limit=limit))
    documents = {name: [s.doc_id for s in finished.run.samples if s.task == name] for name in finished.run.run.tasks}
    assert documents == {"mme_mini": [str(i) for i in range(mme)], "pope_mini": [str(i) for i in range(pope)]}


def test_shuffled_images_belong_to_other_samples(request_for, whole):
    (shuffled,) = run(request_for(shuffle_images=True))
    assert shuffled.run.run.config["shuffle_images"] is True
    own = {(s.task, s.doc_id): s for s in whole.run.samples}
    for sample in shuffled.run.samples:
        assert sample.image_hashes != own[sample.task, sample.doc_id].image_hashes
        assert sample.prompt == own[sample.task, sample.doc_id].prompt
    seen = {s.image_hashes for s in shuffled.run.samples}
    assert seen == {s.image_hashes for s in own.values()}


def test_shuffling_needs_two_images(request_for):
    with pytest.raises(SetupError, match="raise --limit"):
        run(request_for(tasks=("mme",), limit=2, shuffle_images=True))


def test_several_models_at_once(request_for, checkpoint):
    both = f"fake={checkpoint},fake-two={checkpoint}"
    finished = run(request_for(models=("fake", "fake-two"), tasks=("ocrbench",), pretrained=both))
    assert [item.run.run.model for item in finished] == ["fake", "fake-two"]
    values = [json.loads((item.folder / LMMS_RESULTS).read_text())["results"] for item in finished]
    assert values[0]["ocrbench_mini"]["ocrbench_accuracy,none"] == values[1]["ocrbench_mini"]["ocrbench_accuracy,none"]


def test_a_failing_model_is_no_result(request_for):
    with pytest.raises(GenerationError, match=r"the model failed on .*pope_mini"):
        run(request_for(models=("broken",), tasks=("pope",)))
    (folder,) = request_for().output_path.iterdir()
    assert RunFolder(folder).read_run().status == RunStatus.STARTED
    assert not (folder / "samples.jsonl").exists()


@pytest.mark.parametrize("row", [0, 4])
def test_an_unreadable_image_names_task_and_sample(request_for, tmp_path, row):
    with_image(tmp_path, row, b"no picture at all")
    with pytest.raises(SetupError, match=f"an image of pope_mini, sample {row}, cannot be read"):
        run(request_for(tasks=("pope",), data=tmp_path))


@pytest.mark.parametrize("row", [0, 4])
def test_a_huge_image_names_task_and_sample(request_for, tmp_path, monkeypatch, row):
    """Pillow refuses images of more than twice its limit, with an error of its own kind."""
    encoded = BytesIO()
    picture(1, (60, 40)).save(encoded, "PNG")
    with_image(tmp_path, row, encoded.getvalue())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 40 * 16)
    with pytest.raises(SetupError, match=rf"an image of pope_mini, sample {row}, .*DecompressionBombError"):
        run(request_for(tasks=("pope",), data=tmp_path))


def with_image(folder: Path, row: int, encoded: bytes) -> None:
    """POPE's small data with the bytes of one image replaced."""
    made, _, features = rows("pope")
    stored = Features({**features, "image": Image(decode=False)})
    table = Dataset.from_list(made, features=features).cast(stored).to_list()
    table[row]["image"] = {"bytes": encoded, "path": None}
    Dataset.from_list(table, features=features).to_parquet(folder / "pope.parquet")


def test_missing_and_damaged_data(request_for, tmp_path):
    with pytest.raises(SetupError, match="the data of pope_mini cannot be loaded"):
        run(request_for(tasks=("pope",), data=tmp_path))
    (tmp_path / "pope.parquet").write_bytes(b"no parquet")
    with pytest.raises(SetupError, match="the data of pope_mini cannot be loaded"):
        run(request_for(tasks=("pope",), data=tmp_path))


def test_a_full_disk_is_one_line_and_keeps_what_is_there(request_for, monkeypatch):
    import errno

    from visor_eval.records import journal

    real, written = journal._write_all, []

    def full_after_two_batches(*arguments: object) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(1)
        real(*arguments)

    monkeypatch.setattr(journal, "_write_all", full_after_two_batches)
    with pytest.raises(SetupError, match="No space left on device"):
        run(request_for(tasks=("gqa",), batch_size=2))
    monkeypatch.undo()
    (folder,) = request_for().output_path.iterdir()
    assert len(read_journal(folder / "journal.jsonl")) == 4


def test_an_output_folder_that_cannot_be_is_refused_at_once(request_for, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="choose another --output_path"):
        run(request_for(output_path=tmp_path / "file" / "below"))


def test_the_suite_follows_the_checkpoint(request_for):
    from visor_eval.harness.runner import plan

    assert plan(request_for(suite=None)).suite is Suite.PAPER


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ConnectionError("Couldn't reach 'lmms-lab-encoder/POPE' on the Hub"), "--suite mini"),
        (type("LocalTokenNotFoundError", (OSError,), {})("Token is required"), "hf auth login"),
    ],
)
def test_real_tasks_without_a_network_name_the_remedy(request_for, monkeypatch, error, remedy):
    import datasets

    calls = []

    def refuse(*_: object, **__: object) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(SetupError, match=remedy):
        run(request_for(suite=Suite.PAPER, data=None, tasks=("pope",)))
    assert len(calls) == 1  # lmms-eval would try five times


def test_real_task_definitions_run_over_local_files(request_for):
    (finished,) = run(request_for(suite=Suite.PAPER))
    assert finished.run.run.tasks == tuple(task.name for task in TASKS)
    assert len(finished.run.samples) == len(MAKERS) * ROWS
    assert finished.run.run.chance == {}
