"""Records are rebuilt exactly, and refuse what they do not understand."""

import json
from dataclasses import dataclass, fields, replace

import pytest

from tests.records.examples import cost, run, sample
from visor_eval.records import CostRecord, Flops, Provenance, RunRecord, SampleRecord, SchemaError


@pytest.mark.parametrize("record", [cost(), sample(), sample(cost=None), run(), run(chance={"mme": 50})])
def test_round_trip_through_json(record: CostRecord | SampleRecord | RunRecord) -> None:
    text = json.dumps(record.to_dict(), allow_nan=False)
    assert type(record).from_dict(json.loads(text)) == record


@pytest.mark.parametrize("record", [cost(), sample(), run()])
def test_refuses_what_it_does_not_understand(record: CostRecord | SampleRecord | RunRecord) -> None:
    good, kind = record.to_dict(), type(record)
    with pytest.raises(SchemaError, match=r"unknown keys \['flopz'\]; valid keys: \['"):
        kind.from_dict({**good, "flopz": 1})
    with pytest.raises(SchemaError, match=rf"newer than {kind.SCHEMA_VERSION}.*upgrade visor-eval"):
        kind.from_dict({**good, "schema_version": kind.SCHEMA_VERSION + 1})
    first = next(iter(good))
    with pytest.raises(SchemaError, match=rf"missing keys \['{first}'\]"):
        kind.from_dict({key: value for key, value in good.items() if key != first})
    with pytest.raises(SchemaError, match="expected a dictionary"):
        kind.from_dict([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vision_tokens", "many", "CostRecord.vision_tokens: expected int"),
        ("vision_tokens", True, "CostRecord.vision_tokens: expected int"),
        ("vision_tokens", -1, "must not be negative"),
        ("configuration", [1, "x"], r"CostRecord.configuration\[1\]: expected int"),
        ("configuration", [0], "counted from 1"),
        ("prefill", {"tower": 1.5}, "Flops.tower: expected int"),
        ("prefill", {"tower": -1}, "must not be negative"),
        ("prefill", 3, "CostRecord.prefill: expected a dictionary"),
        ("schema_version", "1", "newer|version"),
    ],
)
def test_wrong_values_are_named(key: str, value: object, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        CostRecord.from_dict({**cost().to_dict(), key: value})


def test_impossible_records() -> None:
    with pytest.raises(ValueError, match=r"score must lie in 0..1"):
        sample(score=1.5)
    with pytest.raises(ValueError, match="unknown status 'done'; valid: started, finished"):
        run(status="done")
    with pytest.raises(TypeError, match="not a plain value"):
        sample(metrics={"x": object()}).to_dict()


@pytest.mark.parametrize(("version", "later"), [(1, ("data_hashes", "sample_counts")), (2, ("sample_counts",))])
def test_runs_of_older_schemas_still_load(version: int, later: tuple[str, ...]) -> None:
    old = {key: value for key, value in run().to_dict().items() if key not in later}
    read = RunRecord.from_dict({**old, "schema_version": version})
    assert all(getattr(read, key) == {} for key in later)
    assert read.same_data(run())


def test_the_same_data() -> None:
    """Frozen suites have one hash; elsewhere each task that both ran counts."""
    gqa, both = run(data_hashes={"gqa": "1"}), run(data_hashes={"gqa": "1", "pope": "2"})
    assert gqa.same_data(both)
    assert gqa.same_data(run(data_hashes={"pope": "3"}))
    assert not both.same_data(run(data_hashes={"pope": "3"}))
    assert not run().same_data(run(suite_hash="other"))


def test_flops_totals() -> None:
    flops = Flops(tower=1, projector=2, reducer=4, projections=8, attention=16, mlp=32, cross_attention=64, router=128)
    assert flops.total() == 255
    assert flops.total(causal=True) == 255 - 16 - 64 - 128
    assert (flops + flops).total() == 510
    assert replace(flops, attention_causal=9).component("attention", causal=True) == 9
    with pytest.raises(ValueError, match="unknown component 'tour'; valid: tower"):
        flops.component("tour")


def test_records_are_documented_field_by_field() -> None:
    import inspect

    for kind in (CostRecord, Flops, SampleRecord, RunRecord, Provenance):
        lines = [line.strip() for line in inspect.getsource(kind).splitlines()]
        for field in fields(kind):
            line = next(line for line in lines if line.startswith(f"{field.name}:"))
            assert "  # " in line or field.name == "schema_version", f"{kind.__name__}: {line}"


def test_records_are_frozen() -> None:
    @dataclass(frozen=True)
    class Probe:
        cost: CostRecord

    with pytest.raises(AttributeError):
        Probe(cost()).cost.tiles = 3  # type: ignore[misc]
