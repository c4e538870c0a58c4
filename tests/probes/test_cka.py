"""`visor-eval cka` on the embedded models: right numbers, whole records, resumable, only fixable errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from visor_eval.analysis.cka import full_matrix
from visor_eval.cli import main
from visor_eval.core.cka import cka_by_definition
from visor_eval.errors import SetupError
from visor_eval.harness.collecting import collect
from visor_eval.harness.lmms_tasks import load_tasks
from visor_eval.harness.registry import load_engine
from visor_eval.harness.runner import RunRequest, plan
from visor_eval.harness.samples import read_images, to_request
from visor_eval.models.decoder import SparseDecoder
from visor_eval.probes.cka import _Probe, run_cka
from visor_eval.records import RunStatus, list_runs
from visor_eval.records.cka import CkaFolder
from visor_tasks.suites import Suite, resolve

TASKS = ("gqa", "chartqa")


def request(folder, **changes) -> RunRequest:
    return replace(RunRequest(models=("visor",), tasks=TASKS, limit=3, output_path=folder), **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def finished(folder):
    return run_cka(plan(request(folder, models=("dense", "visor"))))


def test_numbers_are_formula_s1_on_the_states_of_the_plan(finished, tmp_path):
    """Recomputed from scratch: layer by layer through the plain decoder, Gram matrices whole."""
    engine = load_engine("visor")
    tasks = load_tasks(resolve(TASKS, Suite.MINI), Suite.MINI, tmp_path, limit=3)
    recorded = {(sample.task, sample.doc_id): sample for sample in finished[1].run.samples}
    assert len(recorded) == 6
    for task in tasks:
        sample = collect(task)[2]
        record = recorded[task.name, "2"]
        asked = to_request(sample, read_images(sample, task.task.dataset))
        with torch.inference_mode():
            prompts, _ = engine.read([asked])
            states, seen = [prompts[0].vision], []

            class Seeing(SparseDecoder):
                def run_layer(self, number, batch, full, states=states, seen=seen):
                    cache = super().run_layer(number, batch, full)
                    states.append(batch.vision.states[0])
                    seen.append(bool(full))
                    return cache

            decoder = Seeing(engine.decoder.language_model, engine.decoder.lm_head, engine.decoder.readers)
            configuration = decoder.prefill(prompts, engine.chooser).configurations[0]
        assert record.configuration == configuration == tuple(i for i, full in enumerate(seen, 1) if full)
        assert record.vision_tokens == len(states[0])
        expected = [[float(cka_by_definition(x.double(), y.double())) for y in states] for x in states]
        np.testing.assert_allclose(full_matrix(record), expected, atol=1e-5)  # states differ by batching's rounding


def test_dense_has_every_state_and_visor_few(finished):
    dense, visor = (item.run.samples for item in finished)
    assert {sample.distinct for sample in dense} == {25}
    assert {sample.configuration for sample in dense} == {None}
    assert all(sample.distinct == 1 + len(sample.configuration or ()) for sample in visor)


def test_records_are_whole_and_runs_do_not_stumble_over_them(finished, folder):
    for item in finished:
        assert CkaFolder(item.folder).load() == item.run
        assert item.run.run.status == RunStatus.FINISHED
        assert item.run.run.config["estimator"] == "biased"
    assert [item.run.run.model for item in finished] == ["dense", "visor"]
    assert not list_runs(folder).damaged


def test_an_interrupted_run_goes_on(finished, tmp_path, monkeypatch):
    calls, trajectories = [], _Probe.trajectories

    def dying(self, samples, images):
        calls.append(len(samples))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return trajectories(self, samples, images)

    monkeypatch.setattr(_Probe, "trajectories", dying)
    with pytest.raises(KeyboardInterrupt):
        run_cka(plan(request(tmp_path, batch_size=4)))
    (left,) = tmp_path.iterdir()
    assert CkaFolder(left).read_run().status == RunStatus.STARTED
    (again,) = run_cka(plan(request(tmp_path, batch_size=4)))
    assert again.folder == left
    assert calls == [4, 2, 2]
    whole = {(sample.task, sample.doc_id): sample for sample in finished[1].run.samples}
    assert {(sample.task, sample.doc_id) for sample in again.run.samples} == set(whole)
    for sample in again.run.samples:
        other = whole[sample.task, sample.doc_id]
        assert (sample.states, sample.unit, sample.configuration) == (other.states, other.unit, other.configuration)
        np.testing.assert_allclose(sample.similarity, other.similarity, atol=1e-5)


def test_command_prints_a_table_and_where_the_records_lie(tmp_path, capsys):
    arguments = ["cka", "--model", "visor", "--config", "1,4", "--tasks", "gqa,chartqa", "--limit", "2", "--unbiased"]
    assert main([*arguments, "--output_path", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "unbiased linear CKA" in printed
    assert "hard - easy" in printed
    (left,) = tmp_path.iterdir()
    assert str(left) in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 100
    run = CkaFolder(left).load()
    assert run.run.config["estimator"] == "unbiased"
    assert {sample.configuration for sample in run.samples} == {(1, 4)}


def test_pruners_are_refused_in_one_line(tmp_path):
    with pytest.raises(SetupError, match="fastv: a pruner removes"):
        run_cka(plan(request(tmp_path, models=("fastv",))))
