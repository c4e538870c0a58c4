"""benchmarks/claims.py: what it runs, what it finds again, what it writes. Nothing is run here."""

import pytest

from benchmarks import claim_sections
from benchmarks.claim_runs import Job, Shelf, frozen_suite, hash_of, viable_of
from benchmarks.claim_sections import Bench, Weights, second_seeds, sections, stage2_configurations
from benchmarks.claims import PAGE, parse
from benchmarks.marked import BEGIN, END, written_into
from tests.records.examples import run as run_record
from tests.records.examples import sample
from visor_eval.records import RunFolder, RunStatus
from visor_eval.visor.config import VisorConfig
from visor_tasks.suites import GROUPS, Suite, resolve

TASKS = tuple(task.name_in(Suite.MINI) for task in resolve(GROUPS, Suite.MINI))


def record(job: Job, **changes):
    config = {"configuration": None, "model_args": dict(job.model_args), "limit": job.limit, "shuffle_images": False}
    given = {
        "model": job.model,
        "weights_hash": hash_of(job.checkpoint.source),
        "suite_hash": frozen_suite(),
        "tasks": TASKS,
        "config": {**config, **changes.pop("config", {})},
        "status": RunStatus.FINISHED,
        **changes,
    }
    return run_record(**given)


def test_commands_are_what_a_user_types():
    assert Job(model="visor").command == "visor-eval run --model visor --tasks easy,hard"
    job = Job(model="hired", tasks=("hard",), model_args={"rate": 0.24}, limit=3)
    assert job.command == "visor-eval run --model hired --tasks hard --model_args rate=0.24 --limit 3"
    sweep = Job(verb="oracle", model="visor", pretrained="visor-tiny", configurations=((), (1,), (1, 4)))
    assert sweep.arguments[-2:] == ["--configs", "none;1;1,4"]
    assert Job(model="visor", shuffled=True).arguments[-1] == "--shuffle_images"


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"weights_hash": "other"}, False),
        ({"suite_hash": "other"}, False),
        ({"tasks": TASKS[:-1]}, False),
        ({"status": RunStatus.STARTED}, False),
        ({"config": {"limit": 5}}, False),
        ({"config": {"configuration": "1,4"}}, False),
        ({"config": {"model_args": {"newline": "none"}}}, False),
        ({"config": {"shuffle_images": True}}, False),
        ({"model": "dense"}, False),
        ({"config": {"dtype": "float32", "kernels": "stock", "device": "cpu"}}, True),
        ({"config": {"dtype": "bfloat16"}}, False),
        ({"config": {"dtype": "float16"}}, False),
        ({"config": {"kernels": "packed"}}, False),
        ({"config": {"kernels": "compiled"}}, False),
    ],
)
def test_a_run_is_taken_only_if_it_is_the_same(changes, fits):
    job = Job(model="visor")
    assert job.fits(record(job, **changes)) is fits


def test_a_run_over_everything_holds_one_over_a_group():
    job = Job(model="hired", tasks=("hard",), model_args={"rate": 0.24})
    assert job.fits(record(job))
    assert not Job(model="hired", tasks=("hard",)).fits(record(job))


def test_a_sweep_is_taken_only_with_its_configurations_and_answers():
    job = Job(verb="oracle", model="visor")
    viable = [list(each) for each in viable_of(job.checkpoint.source)]
    config = {"configurations": viable, "answers": True, "prune": False, "split": "test"}
    assert job.fits(record(job, config=config))
    assert not job.fits(record(job, config={**config, "configurations": viable[1:]}))
    assert not job.fits(record(job, config={**config, "answers": False}))
    assert not job.fits(record(job, config={**config, "split": "dev"}))
    search = Job(verb="oracle", model="visor", search=True)
    assert not search.fits(record(job, config=config))
    dev = {"answers": False, "prune": False, "split": "dev", "slice": 30, "slice_seed": 1}
    assert search.fits(record(search, config=dev, suite_hash="of the slice"))
    assert not search.fits(record(search, config={**dev, "slice": 5}))


def test_the_newest_of_several_is_taken_and_nothing_is_run_unasked(tmp_path):
    job = Job(model="visor")
    for number, name in enumerate(("a", "b")):
        folder = RunFolder(tmp_path / "kept" / name)
        folder.write_run(record(job, run_id=name, started_utc=f"2026-01-0{2 - number}T00:00:00+00:00", tasks=TASKS))
    shelf = Shelf(output=tmp_path / "new", reused=(tmp_path / "kept",))
    found = shelf._find(job)
    assert found is not None
    assert found.name == "a"
    assert shelf.take(Job(model="dense"), running=False) is None
    assert not (tmp_path / "new").exists()
    assert shelf.why(Job(model="dense")) == "not run"


def test_a_damaged_run_is_not_taken_and_says_why(tmp_path):
    job = Job(model="visor")
    folder = RunFolder(tmp_path / "a")
    folder.write_run(record(job, run_id="a", sample_counts={TASKS[0]: 2}))
    folder.write_samples([sample(run_id="a", task=task) for task in TASKS])
    shelf = Shelf(output=tmp_path)
    assert shelf.take(job, running=False) is None
    assert f"{TASKS[0]} 1 of 2" in shelf.why(job)
    assert not shelf.used


def test_new_runs_are_such_as_are_taken(tmp_path):
    """Whatever the machine would choose by itself."""
    request = Job(model="visor").request(tmp_path)
    assert (request.dtype, request.kernels) == ("float32", "stock")


def test_a_page_can_be_made_of_nothing(tmp_path):
    bench = Bench(shelf=Shelf(output=tmp_path), weights=Weights(), parts=())
    found = sections(bench)
    assert [one.claim.name for one in found] == [
        *("Quality", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"),
        *("Composition", "Headline"),
    ]
    assert {str(one.claim.verdict) for one in found if one.claim.judged} == {"not decidable here"}
    assert not bench.broken


def test_stage_2_sweeps_what_c1_and_c2_ask_for():
    source = Job(model="visor").checkpoint.source
    found = stage2_configurations(source)
    largest = VisorConfig.for_layers(24).largest
    assert found[:3] == ((), (1,), (1, 4))
    assert found[-2:] == (largest, largest[1:])
    assert [len(each) for each in found] == [0, 1, *[2] * 6, 7, 6]


def test_parts():
    assert "search" in parse([]).parts
    assert parse(["--skip", "search,c7"]).parts[-1] == "headline"
    assert parse(["--only", "C3,c4"]).parts == ("c3", "c4")
    assert parse(["--only", "none"]).parts == ()
    with pytest.raises(SystemExit):
        parse(["--only", "c9"])


def test_the_page_has_its_marks():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert written_into(text, "new\n").count("new\n") == 1


def test_second_seeds_are_paired_by_member(monkeypatch):
    seeds = {"visor-tr2-tiny": 0, "visor-tr2-tiny-seed7": 7, "visor-tr4-tiny": 0, "visor-tr4-tiny-seed7": 7}
    monkeypatch.setattr(claim_sections, "embedded_names", lambda: tuple(seeds))
    monkeypatch.setattr(claim_sections, "read_card", lambda name: {"seeds": {"family": seeds[name]}})
    assert second_seeds() == {"visor-tr2-tiny": "visor-tr2-tiny-seed7", "visor-tr4-tiny": "visor-tr4-tiny-seed7"}
