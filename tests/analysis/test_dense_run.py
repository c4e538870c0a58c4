"""The dense run beside a sweep: found, and refused where it answered something else."""

from dataclasses import replace

import pytest

from tests.analysis import sweeps
from tests.analysis.examples import cost
from tests.records.examples import run
from tests.reports.studies import write_run
from visor_eval.analysis.dense_run import find_dense_run, misfit, read_dense_run
from visor_eval.records import RunFolder, StoreError, Sweep


def sweep(*, factor: int = 1) -> Sweep:
    """Eight samples of the backbone of `write_run`, or of one whose dense prefill costs ``factor`` as much."""
    samples = []
    for number in range(8):
        one = sweeps.sample("gqa", number, [sweeps.result((1, 4), complete=True)])
        dense = factor * cost(None, 600 + 100 * (number % 5)).dense_prefill.total()
        samples.append(replace(one, dense_prefill_flops=dense - one.dense_encode_flops))
    return Sweep(
        run=run(run_id="sweep", suite="paper", suite_hash="cd", data_hashes={"gqa": "1"}, config={"unpad": True}),
        samples=tuple(samples),
    )


SWEEP = sweep()


def write_dense(root, name, *, model="dense", tasks=("gqa",), counts=8, day=1, unpad=True, **changes):
    given = {"data_hashes": dict.fromkeys(tasks, "1"), "started_utc": f"2026-01-0{day}T00:00:00+00:00", **changes}
    settings = {"unpad": unpad}
    return write_run(root, model, run_id=name, suite="paper", tasks=tasks, counts=counts, config=settings, **given)


def test_the_newest_that_fits_is_found(tmp_path) -> None:
    assert find_dense_run(tmp_path, SWEEP) is None
    write_dense(tmp_path, "first", day=1)
    write_dense(tmp_path, "more tasks than the sweep", tasks=("gqa", "pope"), counts=20, day=2)
    write_dense(tmp_path, "too few samples", counts=7, day=3)
    write_dense(tmp_path, "other data", data_hashes={"gqa": "2"}, day=3)
    write_dense(tmp_path, "other settings", unpad=False, day=3)
    write_dense(tmp_path, "another method", model="visor", day=3)
    write_dense(tmp_path, "unfinished", status="started", day=3)
    damaged = write_dense(tmp_path, "damaged", day=3)
    (damaged.folder.path / "samples.jsonl").unlink()
    found = find_dense_run(tmp_path, SWEEP)
    assert found is not None
    assert found.run.run_id == "more tasks than the sweep"


def test_why_a_run_does_not_fit(tmp_path) -> None:
    def reason(name: str, **changes: object) -> str | None:
        write_dense(tmp_path, name, **changes)
        return misfit(read_dense_run(tmp_path / name), SWEEP)

    assert reason("other settings", unpad=False) is None  # who names a run means it
    assert reason("few", counts=5) == "few lacks 3 of the sweep's 8 samples"
    assert "other data" in str(reason("other", data_hashes={"gqa": "2"}))
    write_dense(tmp_path, "backbone")
    assert "another backbone" in str(misfit(read_dense_run(tmp_path / "backbone"), sweep(factor=2)))


def test_only_a_finished_dense_run_is_read(tmp_path) -> None:
    write_dense(tmp_path, "visor", model="visor")
    with pytest.raises(StoreError, match="a run of visor"):
        read_dense_run(tmp_path / "visor")
    made = write_dense(tmp_path, "going")
    RunFolder(made.folder.path).write_run(replace(made.run, status="started"))
    with pytest.raises(StoreError, match="not a finished one"):
        read_dense_run(tmp_path / "going")
    with pytest.raises(StoreError, match=r"no run\.json"):
        read_dense_run(tmp_path / "nowhere")
