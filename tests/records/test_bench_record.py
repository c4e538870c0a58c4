"""The bench's record: on disk and back, and what it refuses."""

import pytest

from visor_eval.records import SchemaError, StoreError
from visor_eval.records.bench import BENCH_FILE, BenchEntry, BenchFolder, BenchRecord, Phase, PhaseTiming
from visor_eval.records.provenance import Provenance


def timing(phase=Phase.PREFILL, seconds=(2.0, 4.0, 3.0), flops=120, flops_causal=100):
    return PhaseTiming(phase=phase, seconds=tuple(seconds), flops=flops, flops_causal=flops_causal)


def entry(method="dense", tokens=1458, configuration=None, timings=None, **changes):
    fields = {
        "method": method,
        "configuration": configuration,
        "dense_vision_tokens": tokens,
        "vision_tokens": tokens,
        "timings": tuple(timings or (timing(), timing(Phase.REDUCER, (0.1, 0.1, 0.1), 0, 0))),
        "kv_cache_bytes": 1_000_000,
        "kv_cache_bytes_held": 1_000_000,
        "peak_bytes": None,
    }
    return BenchEntry(**{**fields, **changes})


def record(*entries):
    provenance = Provenance(
        commit="0" * 40,
        dirty=False,
        packages={"torch": "2"},
        python="3.11",
        platform="Linux x86_64",
        cpu_count=2,
        device="cpu",
        command=("visor-eval", "bench"),
        utc="2026-11-22T12:00:00+00:00",
    )
    return BenchRecord(
        run_id="20261122-120000-bench-llava-ov-0.5b",
        backbone="llava-ov-0.5b",
        random_weights=True,
        layers=24,
        dtype="float32",
        hardware="a processor",
        threads=2,
        kernels="packed",
        batch_size=1,
        text_tokens=32,
        decode_steps=4,
        rounds=3,
        entries=entries or (entry(),),
        provenance=provenance,
    )


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
