"""What a run begins with: the kernels are switched while it is open, and recorded."""

from dataclasses import replace

import pytest
from torch import nn

from visor_eval.errors import SetupError
from visor_eval.harness.opening import opened
from visor_eval.harness.runner import RunRequest, plan, run
from visor_eval.records import RunFolder


@pytest.fixture
def request_for(tmp_path):
    return RunRequest(models=("visor",), tasks=("gqa", "chartqa"), limit=3, output_path=tmp_path)


def switched(engine) -> int:
    linears = [part for module in engine.decoder.modules for part in module.modules() if type(part) is nn.Linear]
    assert linears
    return sum("forward" in linear.__dict__ for linear in linears)


def test_kernels_are_switched_while_open_and_recorded(request_for):
    with opened(plan(replace(request_for, kernels="packed")), "visor") as at_hand:
        engine = at_hand.engine
        assert switched(engine) > 0
        assert at_hand.begin(RunFolder, settings={}).record.config["kernels"] == "packed"
    assert switched(engine) == 0
    with opened(plan(request_for), "visor") as at_hand:
        assert switched(at_hand.engine) == 0


def test_a_packed_run_answers_as_a_stock_one_and_is_a_run_of_its_own(request_for):
    (stock,), (packed,) = run(request_for), run(replace(request_for, kernels="packed"))
    assert (stock.run.run.config["kernels"], packed.run.run.config["kernels"]) == ("stock", "packed")
    assert [sample.answer for sample in packed.run.samples] == [sample.answer for sample in stock.run.samples]
    assert [sample.cost.total() for sample in packed.run.samples] == [s.cost.total() for s in stock.run.samples]
    assert packed.folder != stock.folder


def test_an_engine_without_our_decoder_has_no_switch(request_for, checkpoint, data):
    foreign = replace(request_for, models=("fake",), pretrained=str(checkpoint), data=data, kernels="packed")
    with pytest.raises(SetupError, match="brings an engine of its own"):
        run(foreign)


def test_a_configuration_is_left_out_for_models_without_one(request_for):
    both = plan(replace(request_for, models=("dense", "visor"), config="1,4"))
    found = {}
    for model in both.request.models:
        with opened(both, model) as at_hand:
            found[model] = at_hand.config
    assert found == {"dense": None, "visor": "1,4"}
