"""The whole sweep on the embedded model: equal to runs of single configurations, resumable, only fixable errors."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from visor_eval.errors import SetupError
from visor_eval.harness.runner import RunRequest, plan, run
from visor_eval.probes.oracle import SweepRequest, parse_configurations, run_sweep
from visor_eval.probes.sweeper import Sweeper
from visor_eval.records import (
    Accounting,
    RunStatus,
    StoreError,
    SweepFolder,
    SweepSample,
    journalled,
    list_runs,
    sample_key,
)
from visor_eval.visor.config import VisorConfig

TASKS = ("gqa", "mme", "chartqa", "ocrbench")
CONFIGS = "1,4;1,10,16;1,4,7,10,16,19,22"
SETTINGS = {"split": "test"}


def request(folder, **changes) -> RunRequest:
    base = RunRequest(models=("visor",), tasks=TASKS, limit=2, output_path=folder)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def finished(folder):
    """A sweep of three configurations over eight samples."""
    (found,) = run_sweep(plan(request(folder)), SweepRequest(configurations=CONFIGS, settings=SETTINGS))
    return found


def test_every_configuration_equals_its_own_run(finished, folder):
    """Answers, task scores, units, costs; and the router's way, for which the sweep needs no run of its own."""
    for config in ("1,10,16", None):
        ((single),) = run(request(folder, config=config))
        swept = {(sample.task, sample.doc_id): sample for sample in finished.sweep.samples}
        assert len(swept) == len(single.run.samples) == 8
        for sample in single.run.samples:
            mine = swept[sample.task, sample.doc_id]
            assert sample.cost is not None
            assert (mine.unit, mine.stratum, mine.group) == (sample.unit, sample.stratum, sample.group)
            assert (mine.prompt, mine.image_hashes) == (sample.prompt, sample.image_hashes)
            assert set(mine.references) == {text.strip() for text in sample.references}
            assert (mine.vision_tokens, mine.text_tokens) == (sample.cost.vision_tokens, sample.cost.text_tokens)
            assert mine.dense_prefill_flops == sample.cost.dense_total(Accounting.EXACT)
            assert mine.nominal_dense == sample.cost.nominal_dense
            if config is None:
                assert mine.routed == sample.cost.configuration
                extra = mine.router_flops
            else:
                extra = 0
            configurations = [result.configuration for result in mine.results]
            if sample.cost.configuration not in configurations:
                continue
            result = mine.result(sample.cost.configuration)
            assert mine.sample(result).score == sample.score
            assert (result.answer, result.generated_tokens) == (sample.answer, sample.cost.generated_tokens)
            assert result.prefill_flops + extra == sample.cost.total(Accounting.EXACT)
            assert result.decode_flops == sample.cost.decode.total()
            whole = sample.cost.total(Accounting.END_TO_END)
            assert mine.encode_flops + result.prefill_flops + extra + result.decode_flops == whole


def test_a_sweep_leaves_a_whole_record(finished, folder):
    """Provenance as of runs; the journal is the only copy; runs do not stumble over it."""
    loaded = SweepFolder(finished.folder).load()
    assert loaded == finished.sweep
    assert loaded.run.status == RunStatus.FINISHED
    assert loaded.configurations == ((1, 4), (1, 10, 16), (1, 4, 7, 10, 16, 19, 22))
    assert loaded.run.provenance.packages["torch"]
    assert loaded.run.chance
    assert loaded.run.sample_counts == dict.fromkeys(loaded.run.tasks, 2)
    assert {path.name for path in finished.folder.iterdir()} == {"sweep.json", "sweep.jsonl"}
    listed = list_runs(folder)
    assert not listed.damaged
    assert finished.folder.name not in {each.run.run_id for each in listed.runs} | set(listed.unfinished)


def test_an_interrupted_sweep_goes_on(finished, tmp_path, monkeypatch):
    """Killed in its second batch: the first batch is not computed again, and the result is the uninterrupted one."""
    calls, sweep = [], Sweeper.sweep

    def dying(self, requests, references):
        calls.append(len(requests))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sweep(self, requests, references)

    monkeypatch.setattr(Sweeper, "sweep", dying)
    wanted = SweepRequest(configurations=CONFIGS, settings=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan(request(tmp_path, batch_size=5)), wanted)
    (left,) = tmp_path.iterdir()
    assert SweepFolder(left).read_run().status == RunStatus.STARTED
    assert len(SweepFolder(left).load().samples) == 5
    (again,) = run_sweep(plan(request(tmp_path, batch_size=5)), wanted)
    assert again.folder == left
    assert calls == [5, 3, 3]

    def told(found):
        return {
            (sample.task, sample.doc_id): [
                replace(sample, run_id="", request_hash=""),
                *(result.answer for result in sample.results),
            ]
            for sample in found.sweep.samples
        }

    assert told(again) == told(finished)
    (other,) = run_sweep(plan(request(tmp_path, limit=1, tasks=("gqa",))), wanted)  # other settings: a new folder
    assert other.folder != left


def test_without_answers(folder):
    """Only scores: no text, no task metric, no decode cost; the scores are those with answers."""
    wanted = SweepRequest(configurations=CONFIGS, answers=False, settings=SETTINGS)
    (found,) = run_sweep(plan(request(folder, tasks=("gqa",))), wanted)
    for sample in found.sweep.samples:
        assert [(r.answer, r.score, r.generated_tokens, r.decode_flops) for r in sample.results] == [
            (None, None, 0, 0)
        ] * 3
        with pytest.raises(ValueError, match="no answers"):
            sample.sample(sample.results[0])
        with pytest.raises(LookupError, match="was not swept"):
            sample.result((1, 7))


def test_hopeless_configurations_are_dropped_on_the_way(tmp_path, monkeypatch):
    """After the first samples of each task the tree holds the others only; an interrupted sweep drops the same ones."""
    monkeypatch.setattr("visor_eval.probes.oracle.PRUNE_AFTER", 1)
    monkeypatch.setattr("visor_eval.probes.oracle.hopeful", lambda samples: ((1, 4),) if len(samples) == 2 else ())
    wanted = SweepRequest(configurations=CONFIGS, answers=False, prune=True, settings=SETTINGS)
    (found,) = run_sweep(plan(request(tmp_path, tasks=("gqa", "chartqa"))), wanted)
    counts = {(sample.task, sample.doc_id): len(sample.results) for sample in found.sweep.samples}
    assert counts == {
        ("gqa_mini", "0"): 3,
        ("chartqa_mini", "0"): 3,
        ("gqa_mini", "1"): 1,
        ("chartqa_mini", "1"): 1,
    }


def test_configurations_as_written():
    """The ways to write a list, and what is wrong with others."""
    settings = VisorConfig.for_layers(24)
    assert parse_configurations("viable", settings) == settings.configurations
    assert len(parse_configurations("all", settings)) == 256
    assert parse_configurations("1,4;7,1;none", settings) == ((1, 4), (1, 7), ())
    assert parse_configurations("[1,4],[1,7]", settings) == ((1, 4), (1, 7))
    for text, message in (("1,x", "no list of layers"), ("1,2", "layers \\[2\\]"), ("1,4;4,1", "twice")):
        with pytest.raises(SetupError, match=message):
            parse_configurations(text, settings)


def test_dense_has_nothing_to_sweep(tmp_path):
    with pytest.raises(SetupError, match="no configurations to sweep"):
        run_sweep(plan(request(tmp_path, models=("dense",))), SweepRequest(settings=SETTINGS))


def test_damage_is_named(finished):
    """A payload of another form, or under another sample's key."""
    sample = finished.sweep.samples[0]
    key, payload = sample_key(sample), json.loads(json.dumps(sample.to_dict()))
    assert journalled(SweepSample, key, payload) == sample
    with pytest.raises(StoreError, match="unknown keys"):
        journalled(SweepSample, key, {**payload, "extra": 1})
    with pytest.raises(StoreError, match="another sample"):
        journalled(SweepSample, replace(key, doc_id="99"), payload)
    with pytest.raises(ValueError, match="listed twice"):
        replace(sample, results=sample.results[:1] * 2)
    with pytest.raises(ValueError, match="at least one"):
        replace(sample, results=())


@pytest.mark.slow
def test_a_killed_process_loses_nothing(tmp_path):
    """Kill -9 in the middle, twice; then the same command finishes, and every answer is as if nothing had happened."""
    command = [sys.executable, "-m", "visor_eval.cli", "oracle", "--tasks", "gqa,ocrbench", "--limit", "16"]
    command += ["--batch_size", "2", "--output_path", str(tmp_path / "killed")]
    for lines in (2, 8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _lines(tmp_path / "killed") < lines:
            time.sleep(0.05)
        process.kill()
        process.wait()
    (left,) = (tmp_path / "killed").iterdir()
    before = SweepFolder(left).load()
    assert before.run.status == RunStatus.STARTED
    assert 8 <= len(before.samples) < 32
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    after = SweepFolder(left).load()
    assert after.samples[: len(before.samples)] == before.samples
    assert after.run.status == RunStatus.FINISHED
    whole = [*command[:-1], str(tmp_path / "whole")]
    assert subprocess.run(whole, check=False, capture_output=True).returncode == 0
    (other,) = (tmp_path / "whole").iterdir()
    expected = {(s.task, s.doc_id): replace(s, run_id="", request_hash="") for s in SweepFolder(other).load().samples}
    assert {(s.task, s.doc_id): replace(s, run_id="", request_hash="") for s in after.samples} == expected


def _lines(folder: Path) -> int:
    """Finished samples so far."""
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("*/sweep.jsonl"))
