"""Wall time and memory of a piece of work, once the device has finished."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # what the kernel wants to see in clear_refs

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stopwatch:
    """Measures on one device; on a GPU it waits for all kernels at both ends."""

    device: torch.device

    def time(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """What ``work`` returns, and its seconds."""
        self._wait()
        start = time.perf_counter()
        result = work()
        self._wait()
        return result, time.perf_counter() - start

    def peak_bytes(self, work: Callable[[], object]) -> int | None:
        """Most memory that ``work`` held beyond what was held before; None where nobody counts.

        On a GPU allocated bytes, exact; on a CPU resident memory of the process, as Linux counts it.
        """
        if self.device.type == "cuda":
            self._wait()
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            work()
            self._wait()
            return torch.cuda.max_memory_allocated(self.device) - before
        before = _resident_after_trim()
        work()
        peak = _status("VmHWM")
        return None if before is None or peak is None else max(peak - before, 0)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _resident_after_trim() -> int | None:
    """Resident bytes once the allocator has given back what it only kept, the peak reset to them."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)
    except (AttributeError, OSError):
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
