"""Load a checkpoint: a hub id or a folder, safetensors only, in evaluation mode."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration
from transformers.utils import logging as transformers_logging

from visor_eval.errors import SetupError, first_line
from visor_eval.models.devices import torch_device
from visor_eval.models.files import checkpoint_folder, read_config, weight_files
from visor_eval.models.llava_onevision import LlavaOnevision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAMILIES = {"llava_onevision": (LlavaOnevisionForConditionalGeneration, LlavaOnevision)}  # by config.json's model_type
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_backbone(pretrained: str | Path, *, device: str = "cpu", dtype: str = "float32") -> LlavaOnevision:
    """Load model and processor.

    Args:
        pretrained: hub id or folder.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        dtype: float32, bfloat16 or float16.

    Raises:
        SetupError: no such checkpoint, another architecture, damaged files, unknown dtype or device.
    """
    folder = checkpoint_folder(pretrained)
    model_type = str(read_config(folder).get("model_type"))
    if model_type not in FAMILIES:
        raise SetupError(f"{pretrained} is a {model_type!r} checkpoint; supported architectures: {', '.join(FAMILIES)}")
    weight_files(folder)
    model_class, family = FAMILIES[model_type]
    with _quiet():
        try:
            model = model_class.from_pretrained(
                folder,
                dtype=torch_dtype(dtype),
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
            )
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            raise SetupError(
                f"{pretrained} cannot be loaded ({first_line(error)}): fetch the checkpoint again"
            ) from error
    return family(model.to(torch_device(device)).eval().requires_grad_(False), processor)  # type: ignore[arg-type]


def torch_dtype(name: str) -> torch.dtype:
    """The dtype called ``name``; SetupError names the valid ones."""
    if name not in DTYPES:
        raise SetupError(f"unknown dtype {name!r}; valid: {', '.join(DTYPES)}")
    return DTYPES[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, no report about the ``visor.*`` tensors that the stock class does not know."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
