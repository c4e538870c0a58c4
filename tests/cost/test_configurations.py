"""The paper's 13 configurations, and their counterparts at other depths."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.cost import PAPER_CONFIGURATIONS, candidate_layers, configurations, cross_attention_layers

_ROOT = Path(__file__).parents[2]
_PAPER = next((folder / "shared" / "paper" for folder in (_ROOT, _ROOT.parent) if (folder / "shared").is_dir()), _ROOT)
SUPPLEMENT = _PAPER / "visor_supplement.md"


def test_24_layers_are_the_papers() -> None:
    assert configurations(24) == PAPER_CONFIGURATIONS
    assert len(PAPER_CONFIGURATIONS) == 13
    assert candidate_layers(24) == (1, 4, 7, 10, 13, 16, 19, 22)
    assert cross_attention_layers(24) == (2, 5, 8, 11, 14, 17, 20, 23)


@pytest.mark.skipif(not SUPPLEMENT.exists(), reason="the supplement is not in this checkout")
def test_equal_to_the_supplement() -> None:
    section = SUPPLEMENT.read_text(encoding="utf-8").split("## S2.")[0]
    listed = [tuple(map(int, found.split(","))) for found in re.findall(r"\$ ?\[([\d, ]+)\] ?\$", section)]
    assert tuple(listed) == PAPER_CONFIGURATIONS


def test_28_layers() -> None:
    assert candidate_layers(28) == (1, 4, 7, 10, 13, 16, 19, 22, 25)
    assert cross_attention_layers(28) == (2, 5, 8, 11, 14, 17, 20, 23, 26)
    assert len(configurations(28)) == 13
    assert configurations(28)[0] == (1, 4)
    assert configurations(28)[-1] == (1, 4, 7, 10, 19, 22, 25)


@settings(deadline=None)
@given(st.integers(1, 100))
def test_any_depth(layers: int) -> None:
    candidates = candidate_layers(layers)
    assert candidates[0] == 1
    assert all(layer + 2 <= layers for layer in candidates[1:])
    assert layers < 6 or layers - candidates[-1] in (2, 3, 4)
    found = configurations(layers)
    assert len(set(found)) == len(found) <= 13
    for configuration in found:
        assert configuration[0] == 1
        assert list(configuration) == sorted(set(configuration))
        assert set(configuration) <= set(candidates)
    assert not set(cross_attention_layers(layers)) & set(candidates)
    assert all(1 <= layer <= layers for layer in cross_attention_layers(layers))


def test_no_layers() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        candidate_layers(0)
