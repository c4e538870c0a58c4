import pytest
import torch

from tests.baselines.vectors import kept_of, random_tokens
from visor_baselines.random_keep import RandomKeep


def test_the_draw_depends_on_seed_and_sizes_alone():
    tokens = random_tokens((1, 2), seed=1)
    torch.manual_seed(0)
    first = RandomKeep().reduce(tokens)
    torch.manual_seed(1)
    again = RandomKeep().reduce(random_tokens((1, 2), seed=2))
    assert torch.equal(first.position, again.position)
    assert not torch.equal(first.position, RandomKeep(seed=1).reduce(tokens).position)
    assert kept_of(first, 1) != kept_of(first, 2)


def test_the_draw_is_frozen():
    """The control of an old report can be drawn again."""
    assert kept_of(RandomKeep(tokens=5).reduce(random_tokens(None, (7, 7))), 0) == [8, 17, 24, 35, 45]


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    RandomKeep().reduce(random_tokens())
    assert torch.rand(1) == expected


def test_budgets():
    assert RandomKeep().reduce(random_tokens()).num_tokens == 5 * 128
    assert RandomKeep().reduce(random_tokens((1, 1), (7, 7))).num_tokens == 2 * 9
    tokens = random_tokens((1, 1), (7, 7))
    assert torch.equal(RandomKeep(tokens=49).reduce(tokens).features, tokens.features.flatten(0, 1))
    with pytest.raises(ValueError, match="49"):
        RandomKeep(tokens=50).reduce(tokens)
