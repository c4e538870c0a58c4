"""Fixtures of the harness tests: a third party's fake method, a fake checkpoint, small data in the real schemas."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.real_schemas import write

FAKE_METHODS = Path(__file__).parent / "fake_methods"


@pytest.fixture(scope="session", autouse=True)
def fake_methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an installed third-party distribution; data sets cached away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKE_METHODS))
        patch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield FAKE_METHODS
    sys.modules.pop("fake_methods", None)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkpoint from outside."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock checkpoint folder with random weights."""
    from tests.conftest import random_backbone

    backbone = random_backbone(layers=24)
    folder = tmp_path_factory.mktemp("dense")
    backbone.model.save_pretrained(folder)
    backbone.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def visor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VISOR checkpoint folder with random weights and a router."""
    from tests.conftest import random_backbone
    from tests.visor.conftest import random_modules
    from visor_eval.visor.checkpoint import save_visor

    backbone = random_backbone(layers=24)
    folder = tmp_path_factory.mktemp("visor")
    save_visor(folder, backbone.model, random_modules(backbone, router=True), backbone.processor)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rows of each of the twelve tasks."""
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def untouched_process() -> Iterator[None]:
    """Environment and logging as before: a run sets both for its own process."""
    environment, root = dict(os.environ), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    os.environ.clear()
    os.environ.update(environment)
    root.handlers[:], root.level = handlers, level
