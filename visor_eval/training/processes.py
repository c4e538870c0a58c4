"""Several processes on one step: each takes some of the batch's images, and all take the same step.

Every process draws the whole batch of (seed, step), so a run is the same function of its recipe however many processes
share the work. Gradients are added up here, in one buffer, instead of by DDP: the loop runs the decoder as functions of
its weights, never through ``forward``, where DDP's hooks would be.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from visor_eval.errors import SetupError
from visor_eval.models.devices import device_name, torch_device

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Processes:
    """This process and those beside it."""

    device: torch.device
    accelerator: "Accelerator | None" = None  # None: there are no others

    @classmethod
    def launched(cls, device: str) -> "Processes":
        """Join the processes that ``accelerate launch`` or ``torchrun`` started; without them this one alone.

        Args:
            device: ``cpu`` or ``cuda``; with several processes each takes a GPU of its own.

        Raises:
            SetupError: no such device.
        """
        found = torch_device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(found)
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=found.type == "cpu", mixed_precision="no")  # the recipe says what is rounded
        return cls(accelerator.device, accelerator)

    @property
    def index(self) -> int:
        """Which of them this is, from 0."""
        return 0 if self.accelerator is None else self.accelerator.process_index

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self.accelerator is None else self.accelerator.num_processes

    def hardware(self, compute: torch.dtype) -> str:
        """What they run on, for a card."""
        many = f"{self.count} processes" if self.count > 1 else "one process"
        products = f"{str(compute).removeprefix('torch.')} products"
        threads = torch.get_num_threads()
        share = f", {threads} thread{'s' * (threads > 1)} each, no GPU" if self.device.type == "cpu" else ""
        return f"{many} on {device_name(self.device)}{share}; {products}"

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.index == 0

    def check(self, images: int) -> None:
        """Raise SetupError where a batch of ``images`` leaves a process without any."""
        if images < self.count:
            raise SetupError(
                f"the smallest batches of this recipe have {images} images, too few for {self.count} processes: "
                "start fewer, or raise the recipe's `images`"
            )

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same in each."""
        if self.accelerator is None:
            return values
        total = self.accelerator.reduce(values, reduction="sum")
        assert isinstance(total, Tensor)
        return total

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sum over all processes; all took the same plan, so the same ones are there."""
        if self.accelerator is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        _fill(gradients, self.total(_flat(gradients)))

    @torch.no_grad()
    def agree(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the main one's values."""
        if self.accelerator is None:
            return
        tensors = list(parameters)
        _fill(tensors, self.total(_flat(tensors) * float(self.is_main)))

    def merge(self, mine: Sequence[bool | None], rows_per_image: int, images: int) -> list[bool | None]:
        """Marks of the rows of all processes, in the order of the whole batch.

        Args:
            mine: of this process's rows.
            rows_per_image: questions per image, padding rows included.
            images: of the whole batch.
        """
        if self.accelerator is None:
            return list(mine)
        codes = torch.zeros(images, rows_per_image, device=self.device)
        coded = [0.0 if mark is None else 1.0 + mark for mark in mine]
        codes[self.index :: self.count] = torch.tensor(coded, device=self.device).view(-1, rows_per_image)
        return [None if code == 0 else code == 2 for code in self.total(codes).flatten().tolist()]

    def wait(self) -> None:
        """Until all are here, so that what the main one wrote is there for the others."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def finish(self) -> None:
        """Leave the others; the process ends after this."""
        if self.accelerator is not None:
            self.accelerator.end_training()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view_as(tensor))
