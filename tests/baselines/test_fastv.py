"""FastV against its authors' code: every golden file."""

import pytest
import torch

from tests.baselines.decoding import check_forward, golden_cases, golden_families, run_golden, span_prompt
from tests.baselines.views import view_of
from visor_baselines.fastv import FastV
from visor_eval.models.sequence import Batch


@golden_cases("fastv", "select", 5)
def test_selection(golden):
    meta, attention = golden.meta, golden["attention_layer_k_minus_1"][0]
    view = view_of(attention, meta["image_start"], meta["image_tokens"])
    method = FastV(k=meta["fastv_k"], r=meta["fastv_r"])
    answer = method.prune(view)
    assert answer.keep.tolist() == golden["out_kept_local"].tolist()
    assert len(answer.keep) == meta["keep_count"]
    torch.testing.assert_close(method.scores(view), golden["out_scores"], atol=1e-6, rtol=0)
    states = torch.arange(attention.shape[-1], dtype=torch.float32)[:, None]
    batch = Batch([span_prompt(states, meta["image_start"], meta["image_tokens"])], lambda states, _: (states, states))
    batch.prune({0: answer}, renumber=False)
    assert batch.row(0).states[:, 0].tolist() == golden["out_keep_sequence"].tolist()
    assert batch.row(0).positions.tolist() == golden["out_position_ids"][0].tolist()


@golden_cases("fastv", "forward", 2)
def test_whole_forward(golden):
    meta = golden.meta
    pruner = FastV(k=meta["fastv_k"], r=meta["fastv_r"])
    for family in golden_families(golden):
        forward = run_golden(golden, pruner, meta["image_start"], meta["image_tokens"], family)
        assert forward.recording.answers[0].keep.tolist() == golden["out_kept_local"].tolist()
        torch.testing.assert_close(forward.recording.scores[0], golden["out_scores"], atol=1e-6, rtol=0)
        check_forward(golden, forward)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="k must be"):
        FastV(k=0)
    with pytest.raises(ValueError, match="k must be"):
        FastV(r=1.5)
    with pytest.raises(ValueError, match="leaves none"):
        FastV(k=4).stages(4, None)
