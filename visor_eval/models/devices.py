"""The devices of this machine."""

from pathlib import Path

import torch

from visor_eval.errors import SetupError, first_line


def torch_device(name: str) -> torch.device:
    """The device called ``name``; SetupError if it is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SetupError(f"device {name!r} is not usable here ({first_line(error)}): try --device cpu") from error
    return device


def device_name(device: torch.device) -> str:
    """The processor's or accelerator's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
