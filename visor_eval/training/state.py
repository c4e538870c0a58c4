"""Checkpoints of a running training: parameters, optimiser and progress, without pickle, replaced atomically."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

STATE = "state.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class Progress:
    """Where a run stands, besides its tensors."""

    step: int = 0  # steps done
    images: int = 0
    questions: int = 0
    seconds: float = 0.0  # wall-clock spent in steps
    accuracy: dict[str, float] = field(default_factory=dict)  # per task, smoothed over training batches
    seed: int | None = None  # of the recipe; None: the state is older than this field
    hardware: str = ""  # what the latest steps ran on; empty: likewise
    adopted: str = ""  # the checkpoint this was taken from, which counts as the beginning; empty: it was trained


def state_name(step: int) -> str:
    """File of a state that is kept beside the latest one."""
    return f"state_{step}.safetensors"


def save_state(
    file: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer | None, progress: Progress
) -> None:
    """Write everything a resumed run needs to continue exactly; without ``optimizer`` only the parameters."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach().contiguous()
        for moment in MOMENTS:
            if optimizer is not None and moment in optimizer.state.get(parameter, {}):
                tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment].contiguous()
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp")
    save_file(tensors, scratch, metadata={"progress": json.dumps(asdict(progress))})
    scratch.replace(file)


@torch.no_grad()
def load_state(
    file: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer | None = None
) -> Progress:
    """Restore what ``save_state`` wrote; without ``optimizer`` only the parameters.

    Raises:
        ValueError: the file holds other parameters than the model.
    """
    tensors = load_file(file)
    held = {name.removeprefix("parameter/") for name in tensors if name.startswith("parameter/")}
    if missing := sorted(set(parameters) - held):
        raise ValueError(f"{file} lacks {missing[:3]} (and maybe more): it belongs to another model")
    for name, parameter in parameters.items():
        parameter.copy_(tensors[f"parameter/{name}"])
        if optimizer is not None and f"step/{name}" in tensors:
            optimizer.state[parameter] = {
                moment: tensors[f"{moment}/{name}"].to(parameter.device, copy=True) for moment in MOMENTS
            }
    return read_progress(file)


def holds_blocks(file: Path) -> bool:
    """Whether the member had added blocks."""
    with safe_open(file, framework="pt") as state:
        return any(name.startswith("parameter/visor.blocks.") for name in state.keys())  # noqa: SIM118


def read_progress(file: Path) -> Progress:
    """How far the run was whose state this is."""
    with safe_open(file, framework="pt") as state:
        return Progress(**json.loads(state.metadata()["progress"]))
