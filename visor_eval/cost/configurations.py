"""Which layers may process vision tokens: candidates, viable configurations, cross-attention layers; any depth.

The 13 configurations are those of the paper's supplement, section S1, for 24 layers. Layers are counted from 1.
"""

PAPER_LAYERS = 24

PAPER_CONFIGURATIONS: tuple[tuple[int, ...], ...] = (
    (1, 4),
    (1, 7),
    (1, 4, 7),
    (1, 4, 16),
    (1, 7, 16),
    (1, 10, 16),
    (1, 4, 7, 16),
    (1, 4, 7, 22),
    (1, 4, 10, 16),
    (1, 4, 7, 10, 16),
    (1, 4, 7, 16, 22),
    (1, 4, 7, 10, 16, 22),
    (1, 4, 7, 10, 16, 19, 22),
)


def candidate_layers(layers: int) -> tuple[int, ...]:
    """Layers that a configuration may choose from: 1, 4, 7, ... up to the last that leaves two layers after it.

    24 layers: 1..22, 28 layers: 1..25. Layer 1 is always a candidate.
    """
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    return (1, *range(4, layers - 1, 3))


def cross_attention_layers(layers: int) -> tuple[int, ...]:
    """Layers with an added cross-attention block by default: the one right after each candidate (2, 5, 8, ...)."""
    return tuple(layer + 1 for layer in candidate_layers(layers) if layer < layers)


def configurations(layers: int = PAPER_LAYERS) -> tuple[tuple[int, ...], ...]:
    """Viable configurations for a decoder of ``layers`` layers, fewest layers first.

    The paper's for 24 layers; for other depths each candidate moves to the same relative place among that depth's
    candidates (by index, rounded). Shallow decoders have fewer candidates, so that some configurations coincide; they
    are listed once.
    """
    paper = candidate_layers(PAPER_LAYERS)
    here = candidate_layers(layers)
    scaled = {
        tuple(sorted({here[round(paper.index(layer) * (len(here) - 1) / (len(paper) - 1))] for layer in configuration}))
        for configuration in PAPER_CONFIGURATIONS
    }
    return tuple(sorted(scaled, key=lambda configuration: (len(configuration), configuration)))
