"""FLOPs of looking at tokens before some of them are dropped: attention scores, attention rows, clustering."""

from collections.abc import Set as AbstractSet

from visor_eval.cost.shapes import DecoderShape, NativeTowerShape, TowerShape


def capture_flops(needs: AbstractSet[str], tiles: int, tower: TowerShape) -> int:
    """Query-key products behind the tower's attention scores, for one image.

    Args:
        needs: what reducers ask for: ``scores`` of every tile, ``first_scores`` of the thumbnail; the rest is free.
        tiles: tiles of the image, thumbnail included.
        tower: the tower's shape.
    """
    scored = (tiles if "scores" in needs else 0) + (1 if "first_scores" in needs else 0)
    return scored * 2 * tower.tokens**2 * tower.hidden


def native_capture_flops(needs: AbstractSet[str], vision_tokens: int, tower: NativeTowerShape) -> int:
    """The same for a tower without tiles: every patch of the image is scored against every one, once per block."""
    patches = vision_tokens * tower.merge**2
    return len(needs & {"scores", "first_scores"}) * 2 * patches**2 * tower.hidden


def attention_rows_flops(decoder: DecoderShape, *, queries: int, keys: int, project_keys: bool) -> int:
    """FLOPs of ``queries`` rows over ``keys`` keys in one layer, the query projection included.

    Args:
        decoder: the decoder's shape.
        queries: rows.
        keys: length of the sequence.
        project_keys: whether the keys are projected too (the next layer's) or already cached (the last layer's).
    """
    rows = 2 * queries * decoder.query_width * (decoder.hidden + keys)
    return rows + (2 * keys * decoder.hidden * decoder.kv_width if project_keys else 0)


def density_peaks_flops(tokens: int, dim: int) -> int:
    """FLOPs of the distances between ``tokens`` feature vectors."""
    return 2 * tokens**2 * dim


def recycling_sizes(pruned: int) -> tuple[int, int]:
    """How SparseVLM recycles ``pruned`` > 0 tokens: (candidates, clusters)."""
    candidates = int(0.3 * pruned) + 1
    return candidates, int(candidates / 10) + 1


def recycling_flops(pruned: int, dim: int) -> int:
    """FLOPs of recycling ``pruned`` tokens."""
    return density_peaks_flops(recycling_sizes(pruned)[0], dim)
