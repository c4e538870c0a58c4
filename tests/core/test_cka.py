"""CKA in either space equals formula S1; its invariances; HSIC_1 as its authors write it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.core import cka as module
from visor_eval.core.cka import cka, cka_by_definition, kernel_products, smaller_space


def states_of(count: int, tokens: int, dim: int, seed: int = 0, offset: float = 3.0) -> list[torch.Tensor]:
    """Features that drift from state to state, with uneven scales and means far from zero."""
    rng = torch.Generator().manual_seed(seed)
    state = torch.randn(tokens, dim, generator=rng) * torch.randn(dim, generator=rng).exp()
    states = [state + offset * torch.randn(dim, generator=rng)]
    for _ in range(count - 1):
        mixing = torch.randn(dim, dim, generator=rng) * dim**-0.5
        states.append(states[-1] + 0.5 * torch.randn(tokens, dim, generator=rng) @ mixing)
    return states


def by_definition(states) -> torch.Tensor:
    return torch.stack([torch.stack([cka_by_definition(x.double(), y.double()) for y in states]) for x in states])


@pytest.mark.parametrize("space", ["token", "feature"])
@pytest.mark.parametrize(("tokens", "dim"), [(60, 9), (20, 33), (7, 7), (400, 5)])
def test_equals_formula_s1(space, tokens, dim) -> None:
    states = states_of(5, tokens, dim)
    torch.testing.assert_close(cka(states, space=space), by_definition(states), atol=1e-12, rtol=0)


@pytest.mark.parametrize("space", ["token", "feature"])
def test_blocks_change_nothing(space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that span many ragged blocks of tokens, states and features."""
    states = states_of(5, 211, 24)
    monkeypatch.setattr(module, "WORKING_BYTES", 5 * 8 * 37**2)
    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 50)
    torch.testing.assert_close(cka(states, space=space), by_definition(states), atol=1e-12, rtol=0)


def test_large_offsets_cost_no_digits() -> None:
    """Vision features have means far larger than their spread in some channels."""
    states = states_of(4, 90, 12, offset=300.0)
    for space in ("token", "feature"):
        torch.testing.assert_close(cka(states, space=space), by_definition(states), atol=1e-8, rtol=0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), space=st.sampled_from(["token", "feature"]))
def test_invariant_to_rotation_scale_and_shift(seed, scale, space) -> None:
    x, y = (state.double() for state in states_of(2, 40, 11, seed))
    rotation = torch.linalg.qr(torch.randn(11, 11, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[
        0
    ]
    moved = scale * (x @ rotation) + 5
    similarity = cka([x, moved, y], space=space)
    assert abs(similarity[0, 1] - 1) < 1e-9
    assert abs(similarity[0, 2] - similarity[1, 2]) < 1e-9


def test_not_invariant_to_other_linear_maps() -> None:
    x = torch.randn(40, 11, generator=torch.Generator().manual_seed(0))
    assert cka([x, x @ torch.diag(torch.linspace(0.1, 3, 11))])[0, 1] < 0.95


def test_unbiased_is_hsic_1() -> None:
    """Song et al. 2012, equation 5, from uncentred Gram matrices with a zeroed diagonal."""
    states = [state.double() for state in states_of(3, 30, 12)]
    n = 30

    def hsic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        k, m = ((a @ a.T).fill_diagonal_(0) for a in (x, y))
        one = torch.ones(n, dtype=torch.float64)
        cross = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return ((k @ m).trace() + cross - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    wanted = torch.stack([torch.stack([hsic(x, y) for y in states]) for x in states])
    for space in ("token", "feature"):
        found = kernel_products(states, space=space).hsic(unbiased=True)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


def test_unbiased_does_not_see_likeness_in_noise() -> None:
    """With few tokens the biased value of unrelated features is far above 0."""
    rng = torch.Generator().manual_seed(0)
    pairs = [[torch.randn(30, 60, generator=rng) for _ in range(2)] for _ in range(20)]
    biased = torch.stack([cka(pair)[0, 1] for pair in pairs])
    unbiased = torch.stack([cka(pair, unbiased=True)[0, 1] for pair in pairs])
    assert biased.min() > 0.5
    assert abs(unbiased.mean()) < 0.03


def test_states_without_variance_have_no_cka() -> None:
    x, y = states_of(2, 20, 6)
    flat = torch.full((20, 6), 0.1)
    for space in ("token", "feature"):
        for unbiased in (False, True):
            similarity = cka([x, flat, y], space=space, unbiased=unbiased)
            assert similarity[1].isnan().all()
            assert not similarity[0, 2].isnan()
            assert similarity[0, 0] == 1


def test_cheaper_space() -> None:
    assert smaller_space(25, 7290, 896) == "token"  # although there are more tokens than features
    assert smaller_space(25, 40_000, 896) == "feature"
    assert smaller_space(2, 100, 896) == "token"
    assert smaller_space(2, 5000, 64) == "feature"


def test_half_precision_is_read_and_inputs_are_left_alone() -> None:
    states = [state.bfloat16() for state in states_of(3, 50, 8)]
    before = [state.clone() for state in states]
    similarity = cka(states)
    assert similarity.dtype == torch.float64
    torch.testing.assert_close(similarity, by_definition(states), atol=1e-12, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(before, states, strict=True))


@pytest.mark.parametrize(
    ("states", "message"),
    [([], "one shape"), ([torch.ones(3, 2), torch.ones(4, 2)], "one shape"), ([torch.ones(1, 2)], "at least 2")],
)
def test_what_cannot_be_compared_is_refused(states, message) -> None:
    with pytest.raises(ValueError, match=message):
        cka(states)


def test_unbiased_needs_four_tokens() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        cka([torch.rand(3, 2), torch.rand(3, 2)], unbiased=True)
