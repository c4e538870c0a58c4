import pytest
from hypothesis import given
from hypothesis import strategies as st

from visor_eval.core.grids import near_square_grid


@pytest.mark.parametrize(
    ("shape", "factor", "grid"),
    [
        ((27, 27), 1, (27, 27)),
        ((27, 27), 4, (13, 14)),
        ((27, 27), 8, (9, 10)),
        ((27, 27), 16, (7, 7)),
        ((24, 24), 4, (12, 12)),
        ((7, 7), 4, (3, 4)),
        ((7, 7), 8, (2, 3)),
        ((7, 7), 16, (2, 2)),
        ((19, 19), 4, (9, 10)),
        ((1, 1), 16, (1, 1)),
    ],
)
def test_grids(shape, factor, grid):
    assert near_square_grid(shape, factor) == grid


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1, 2000))
def test_never_more_tokens_than_before_never_none(rows, cols, factor):
    small = near_square_grid((rows, cols), factor)
    assert 1 <= small[0] <= rows
    assert 1 <= small[1] <= cols


@pytest.mark.parametrize("factor", [0.5, 0, -1, float("nan")])
def test_factors_that_add_tokens_are_refused(factor):
    with pytest.raises(ValueError, match="at least 1"):
        near_square_grid((27, 27), factor)
