"""Data that is not the evaluation's: dev and training slices, and the proof that no evaluation image is among them."""

import shutil
import tempfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from visor_eval.errors import SetupError
from visor_eval.harness.runner import Plan
from visor_eval.harness.samples import image_hash
from visor_tasks.lmms_yaml import MINI_DATA, data_file
from visor_tasks.suites import TASKS, Suite


def chosen_split(given: str | None, *, search: bool, labels: bool, data: Path | None) -> str:
    """The split to sweep: ``test``, ``dev``, ``train``, or ``given`` where the user names a folder.

    Raises:
        SetupError: labels from anything but training data, or a split of a folder of the user's own.
    """
    if labels and search:
        raise SetupError("--labels and --search want different data: run them one after the other")
    if data is not None:
        if given is not None:
            raise SetupError(f"--split {given}: {data} is used as it is; leave one of them out")
        return "given"
    if labels and given not in (None, "train"):
        raise SetupError(f"--split {given}: router labels come from training data only")
    return given or ("train" if labels else "dev" if search else "test")


@dataclass
class DataSlice:
    """A dev or train slice of the mini suite, in a temporary folder while the context is open.

    Attributes:
        split: from ``chosen_split``; ``test`` and ``given`` need no slice.
        count: samples per task.
        seed: of the generator's stream.
        folder: where the slice lies; None: none is needed.
    """

    split: str
    count: int
    seed: int
    folder: Path | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Make the folder; ``write`` fills it."""
        if self.split not in ("test", "given"):
            self.folder = Path(tempfile.mkdtemp(prefix="visor-eval-slice-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, planned: Plan) -> None:
        """Write the slice of the planned tasks, where one is wanted; ``harness.hub.prepare`` comes before.

        Raises:
            SetupError: a suite that has no such data here, or an impossible size.
        """
        if self.folder is None:
            return
        if planned.suite is not Suite.MINI:
            raise SetupError(
                f"the {planned.suite} suite has no {self.split} data here: give --data <folder of <task>.parquet>, "
                "or --split test for a search on the evaluation's own samples"
            )
        if self.count < 2:
            raise SetupError(f"--slice {self.count}: give at least 2")
        from visor_tasks.mini.slices import write_slice

        names = [task.name for task in planned.tasks]
        write_slice(self.folder, split=self.split, seed=self.seed, count=self.count, tasks=names)

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of the data."""
        sized = {} if self.folder is None else {"slice": self.count, "slice_seed": self.seed}
        return {"split": self.split, **sized}


def images_in(folder: Path = MINI_DATA) -> set[str]:
    """Hashes of every image in a folder of ``<task>.parquet`` files; default: the frozen evaluation suite."""
    import pyarrow.parquet as pq

    found = set()
    for task in TASKS:
        path = data_file(task, folder)
        cells = pq.read_table(path, columns=["image"]).column("image").to_pylist() if path.is_file() else []
        found |= {image_hash(Image.open(BytesIO(cell["bytes"])).convert("RGB")) for cell in cells}
    return found


def refuse_evaluation_images(folder: Path) -> None:
    """Raise SetupError if an image of ``folder`` is one of the mini suite's evaluation."""
    shared = images_in() & images_in(folder)
    if shared:
        raise SetupError(
            f"{len(shared)} images of {folder} belong to the evaluation suite; "
            "router labels come from training data only"
        )
