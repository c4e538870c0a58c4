"""Engines on the tiny random model, and references that it sometimes gets right."""

from dataclasses import replace

import pytest
import torch

from tests.visor.conftest import modules as modules
from tests.visor.conftest import random_modules as random_modules
from visor_eval.models.engine import Engine
from visor_eval.models.generation import Limits
from visor_eval.probes.sweeper import Sweeper
from visor_eval.probes.teacher import reference
from visor_eval.visor.build import build_visor_zero, visor_engine


def reference_texts(engine: Engine, requests) -> list[tuple[str, ...]]:
    """Per request, as token ids in words: the beginning of what ``engine`` says, then a stranger.

    Every other request accepts the whole of it, and something else, too.
    """
    texts = []
    for number, answer in enumerate(engine.answer(requests)):
        ids = [token for token in answer.token_ids if token not in engine.backbone.end_tokens]
        begun = [*ids[: 1 + number % 4], 5]
        texts.append(tuple(" ".join(map(str, run)) for run in ([begun, ids, [6, 7]] if number % 2 else [begun])))
    return texts


@pytest.fixture
def numbered(monkeypatch):
    """Sweepers read references as token ids, so that a random model's answers can be references."""

    def references(self, request, texts):
        backbone, limits = self.engine.backbone, Limits(max_new_tokens=request.max_new_tokens, stop=request.stop)
        end = backbone.processor.tokenizer.eos_token_id
        return [reference(list(map(int, text.split())), end, limits, backbone.decode) for text in texts]

    monkeypatch.setattr(Sweeper, "_references", references)


@pytest.fixture(scope="session")
def routed(backbone, modules) -> Engine:
    """VISOR with its router."""
    return visor_engine(backbone, modules)


@pytest.fixture(scope="session")
def engines(backbone, modules):
    """A function: a fixed configuration -> VISOR's engine."""
    return lambda config: visor_engine(backbone, modules, config=",".join(map(str, config)) or "none")


@pytest.fixture(scope="session")
def zero(backbone):
    """A function: a fixed configuration -> visor-zero's engine."""
    return lambda config: build_visor_zero(backbone, config=",".join(map(str, config)) or "none")


@pytest.fixture
def short(requests):
    """The mixed requests with short answers, the largest image left out."""
    return [replace(request, max_new_tokens=5) for number, request in enumerate(requests) if number != 5]


@pytest.fixture(autouse=True)
def same_threads():
    """Sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
