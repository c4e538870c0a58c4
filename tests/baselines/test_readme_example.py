"""The example of baselines/README.md runs as it is printed."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.baselines.vectors import random_tokens

README = Path(__file__).parents[2] / "baselines" / "README.md"


@pytest.fixture
def example(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 40
    module = ModuleType("norm_keep")
    monkeypatch.setitem(sys.modules, "norm_keep", module)  # dataclasses look their module up
    exec(compile(code, "norm_keep.py", "exec"), module.__dict__)
    return module.NormKeep


def test_the_printed_method_works(example):
    tokens = random_tokens((1, 2), (7, 7))
    out = example(share=0.5).reduce(tokens)
    assert out.num_tokens == 3 * 24
    kept = torch.zeros(3, 49, dtype=torch.bool)
    kept[out.tile, out.position] = True
    norms = tokens.features.norm(dim=-1)
    assert (norms.masked_fill(~kept, torch.inf).amin(dim=1) >= norms.masked_fill(kept, 0).amax(dim=1)).all()
    assert torch.equal(example(share=1).reduce(tokens).features, tokens.features.flatten(0, 1))
