"""Tokens per tile: given for the paper's 729-token tiles, scaled to others."""

PAPER_TILE = 729  # SigLIP-SO400M at 384 px: 27 x 27 patches


def tile_budget(tokens: int, *parts: tuple[int | None, int]) -> tuple[int, ...]:
    """How many of a tile's tokens each part of a method gets.

    Args:
        tokens: of one tile.
        *parts: each (explicit count or None, count of a 729-token tile). Where no explicit count is given, the other
            one is scaled to the tile, at least 1, and gives way to the explicit ones where they leave less room.

    Raises:
        ValueError: explicit counts that are negative, no integers, all zero, or together above ``tokens``.
    """
    explicit = [count for count, _ in parts if count is not None]
    for count in explicit:
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"a token budget is an integer from 0 to {tokens} (tokens per tile), got {count!r}")
    room = tokens - sum(explicit)
    if room < 0:
        given = " + ".join(map(str, explicit))
        raise ValueError(
            f"a budget of {given} tokens per tile is above the {tokens} of a tile: at most {tokens} are allowed"
        )
    budget = []
    for count, paper_count in parts:
        if count is None:
            count = min(scaled(paper_count, tokens), room)
            room -= count
        budget.append(count)
    if not any(budget):
        raise ValueError(f"a budget of 0 tokens per tile leaves nothing of the image; 1 to {tokens} are allowed")
    return tuple(budget)


def scaled(paper_count: int, tokens: int) -> int:
    """The count of a 729-token tile, on a tile of ``tokens``: at least 1."""
    return max(1, round(tokens * paper_count / PAPER_TILE))
