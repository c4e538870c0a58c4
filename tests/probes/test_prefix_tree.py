"""Which sets of layers there are, and that a sweep runs the full layers that they share once."""

import pytest

from visor_eval.cost.configurations import PAPER_CONFIGURATIONS, candidate_layers
from visor_eval.models.decoder import SparseDecoder
from visor_eval.probes.prefix_sweep import PrefixSweep
from visor_eval.probes.prefix_tree import Branch, every_subset, part


@pytest.mark.parametrize(
    ("configurations", "alone", "shared"),
    [
        (PAPER_CONFIGURATIONS, 51, 18),  # DESIGN section 10
        (every_subset(candidate_layers(24)[:5]), 80, 31),
        (((),), 0, 0),
        (((2, 3), (2,), (4,)), 4, 3),
    ],
    ids=["the thirteen", "all subsets of five", "none", "apart"],
)
def test_a_sweep_runs_shared_full_layers_once(configurations, alone, shared, engines, short, monkeypatch):
    decoder = engines((1, 4)).decoder
    prompts, _ = engines((1, 4)).read(short[:1])
    run_layer, full_layers = SparseDecoder.run_layer, []

    def counted(self, number, batch, full):
        full_layers.extend([number] * bool(full))
        return run_layer(self, number, batch, full)

    monkeypatch.setattr(SparseDecoder, "run_layer", counted)
    leaves = list(PrefixSweep(decoder, prompts, configurations).leaves())
    assert sorted(leaf.index for leaf in leaves) == list(range(len(configurations)))
    assert (sum(map(len, configurations)), len(full_layers)) == (alone, shared)
    assert set(full_layers) == {layer for configuration in configurations for layer in configuration}


def test_members_part_where_they_differ():
    """The full ones first; members stay in order, whichever layers they were full in before."""
    swept = ((1, 4), (4,), (1,))
    assert part((0, 1, 2), 1, swept) == [Branch(1, True, (0, 2)), Branch(1, False, (1,))]
    assert part((0, 2), 4, swept) == [Branch(4, True, (0,)), Branch(4, False, (2,))]
    assert part((0, 1, 2), 2, swept) == [Branch(2, False, (0, 1, 2))]


def test_every_subset():
    """2^8 for 24 layers, the empty one and those without layer 1 included, each once."""
    subsets = every_subset(candidate_layers(24))
    assert len(subsets) == len(set(subsets)) == 256
    assert subsets[0] == ()
    assert sum(1 not in subset for subset in subsets) == 128
