"""The tree has every configuration once and runs each shared layer once."""

import pytest

from visor_eval.cost.configurations import PAPER_CONFIGURATIONS, candidate_layers
from visor_eval.probes.prefix_tree import branches, every_subset, full_layer_runs


def test_the_thirteen_share_18_full_layers_of_51():
    """DESIGN section 10."""
    assert sum(map(len, PAPER_CONFIGURATIONS)) == 51
    assert full_layer_runs(PAPER_CONFIGURATIONS, 24) == 18


@pytest.mark.parametrize("configurations", [PAPER_CONFIGURATIONS, every_subset((1, 4, 7)), ((),), ((2, 3), (2,))])
def test_a_member_meets_its_own_layers_in_order(configurations):
    """Following one configuration down the tree gives exactly its plan."""
    ways = {index: [] for index in range(len(configurations))}
    for branch in branches(configurations, 10):
        for member in branch.members:
            ways[member].append((branch.layer, branch.full))
    for index, configuration in enumerate(configurations):
        assert ways[index] == [(layer, layer in configuration) for layer in range(1, 11)]


def test_every_subset():
    """2^8 for 24 layers, the empty one and those without layer 1 included, each once."""
    subsets = every_subset(candidate_layers(24))
    assert len(subsets) == len(set(subsets)) == 256
    assert subsets[0] == ()
    assert sum(1 not in subset for subset in subsets) == 128
    assert full_layer_runs(subsets, 24) == 255
