"""Smaller grids for a tile's tokens."""

from itertools import product
from math import ceil, floor


def near_square_grid(tile_shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Rows and columns whose product is nearest to 1/``factor`` of the tile's tokens, each side rounded up or down.

    27 x 27 becomes 13 x 14 at factor 4, 9 x 10 at 8 and 7 x 7 at 16 (docs/spec/encoder_methods.md section 4, c).
    Of two grids equally near, the smaller is taken, and the wider before the taller.

    Raises:
        ValueError: the factor is below 1.
    """
    if not factor >= 1:
        raise ValueError(f"a factor of {factor} would add tokens; at least 1 is allowed")
    wanted = tile_shape[0] * tile_shape[1] / factor
    sides = [side / factor**0.5 for side in tile_shape]
    choices = product(*({max(1, floor(side)), max(1, ceil(side))} for side in sides))
    rows, cols = min(choices, key=lambda grid: (abs(grid[0] * grid[1] - wanted), grid[0] * grid[1], grid[0]))
    return rows, cols
