"""The bench's record: on disk and back, and what it refuses."""

import pytest

from tests.records.benches import entry, record, timing
from visor_eval.records import SchemaError, StoreError
from visor_eval.records.bench import BENCH_FILE, BenchFolder, PhaseTiming


def test_written_and_read_back(tmp_path):
    written = record(entry(), entry("visor", configuration=(1, 4)))
    BenchFolder(tmp_path / "run").write(written)
    assert BenchFolder(tmp_path / "run").load() == written


def test_damaged_files_are_named(tmp_path):
    (tmp_path / BENCH_FILE).write_text("{")
    with pytest.raises(StoreError, match=BENCH_FILE):
        BenchFolder(tmp_path).load()


@pytest.mark.parametrize("change", [{"phase": "lunch"}, {"seconds": []}, {"seconds": [1.0, 0.0]}])
def test_impossible_timings_are_refused(change):
    with pytest.raises(SchemaError):
        PhaseTiming.from_dict({**timing().to_dict(), **change})


def test_dense_of_the_same_image_is_the_reference():
    small, large, method = entry(tokens=98), entry(tokens=245), entry("fastv", tokens=245)
    both = record(small, large, method)
    assert both.reference(method) is large
    assert both.vision_tokens == (98, 245)
    with pytest.raises(LookupError, match="245"):
        record(small, method).reference(method)
