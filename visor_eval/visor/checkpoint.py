"""A VISOR checkpoint: a stock LLaVA-OneVision folder plus one config key and the tensors ``visor.*``."""

from pathlib import Path

import torch
from transformers import LlavaOnevisionForConditionalGeneration, ProcessorMixin

from visor_eval.errors import SetupError
from visor_eval.models.configs import text_config
from visor_eval.models.files import read_config, tensors_with_prefix
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules

CONFIG_KEY = "visor"
TENSOR_PREFIX = "visor."


def save_visor(
    folder: str | Path,
    model: LlavaOnevisionForConditionalGeneration,
    modules: VisorModules,
    processor: ProcessorMixin | None = None,
) -> None:
    """Write the folder: stock config, weights and processor files, plus what VISOR adds. Tensors keep their dtype."""
    setattr(model.config, CONFIG_KEY, modules.config.to_dict())
    added = {f"{TENSOR_PREFIX}{name}": tensor for name, tensor in modules.state_dict().items()}
    try:
        model.save_pretrained(folder, state_dict={**model.state_dict(), **added})
    finally:
        delattr(model.config, CONFIG_KEY)
    if processor is not None:
        processor.save_pretrained(folder)


def read_visor_config(folder: Path) -> VisorConfig | None:
    """The checkpoint's VisorConfig, or None for a stock checkpoint."""
    values = read_config(folder).get(CONFIG_KEY)
    return None if values is None else VisorConfig.from_dict(values)  # type: ignore[arg-type]


def load_visor(folder: Path, model: LlavaOnevisionForConditionalGeneration) -> VisorModules:
    """The trained VISOR modules of a checkpoint, on the model's device and in its dtype.

    Raises:
        SetupError: the checkpoint holds none (the message names ``visor-zero``), or they do not fit its config.
    """
    config = read_visor_config(folder)
    tensors = tensors_with_prefix(folder, TENSOR_PREFIX)
    if config is None or not tensors:
        raise SetupError(
            f"{folder.name} is not a VISOR checkpoint (no visor.* weights): train one with `visor-eval train`, "
            "or use --model visor-zero, which needs no training"
        )
    with torch.device("meta"):
        modules = VisorModules(config, text_config(model.config))
    try:
        modules.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise SetupError(f"the visor.* weights of {folder.name} do not fit its config: {error}") from error
    return modules.to(device=model.device, dtype=model.dtype).eval().requires_grad_(False)
