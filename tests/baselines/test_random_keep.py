from dataclasses import replace

import pytest
import torch

from tests.baselines.vectors import kept_of, random_tokens, tokens_of
from tests.conftest import picture
from visor_baselines.random_keep import RandomKeep
from visor_eval.models.reduction import Reduction


def test_the_draw_depends_on_seed_and_picture_alone():
    tokens = random_tokens((1, 2), seed=1)
    torch.manual_seed(0)
    first = RandomKeep().reduce(tokens)
    torch.manual_seed(1)
    again = RandomKeep().reduce(replace(random_tokens((1, 2), seed=2), fingerprint=1))
    assert torch.equal(first.position, again.position)
    assert not torch.equal(first.position, RandomKeep(seed=1).reduce(tokens).position)
    assert not torch.equal(first.position, RandomKeep().reduce(replace(tokens, fingerprint=2)).position)
    assert kept_of(first, 1) != kept_of(first, 2)


def test_pictures_of_one_size_keep_different_places_in_any_batch(backbone):
    one, other = picture(56, 56, 1), picture(56, 56, 2)

    def places(samples):
        watched = Watched()
        with torch.inference_mode():
            backbone.encode(backbone.tile(samples), Reduction((watched,)))
        return watched.places

    together = places([[one], [other], [one]])
    assert together[0] == together[2] != together[1]
    assert places([[other]]) == [together[1]]


class Watched:
    """Random keep that notes what it keeps."""

    needs, after_projector = RandomKeep.needs, RandomKeep.after_projector

    def __init__(self):
        self.places = []

    def reduce(self, tokens):
        out = RandomKeep().reduce(tokens)
        self.places.append(out.position.tolist())
        return out

    def flops(self, **_sizes):
        return 0


def test_tokens_without_a_fingerprint_are_refused():
    with pytest.raises(ValueError, match="fingerprint"):
        RandomKeep().reduce(tokens_of(torch.zeros(1, 49, 2)))


def test_the_draw_is_frozen():
    """The control of an old report can be drawn again."""
    assert kept_of(RandomKeep(tokens=5).reduce(random_tokens(None, (7, 7))), 0) == [8, 13, 22, 24, 35]


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
