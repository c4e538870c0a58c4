"""Does the vision tower attend to what its tiles show? What reducers that choose by attention keep of it.

python -m benchmarks.tower_attention                          # visor-tiny
python -m benchmarks.tower_attention --pretrained dense-tiny  # another member, or a folder of the family

Dev images; sub-tiles only. "found": share of the cells that show something among the 9 of 49 patches that receive most
attention in the tower's last used block; "possible": the same if a tile's labelled cells came first.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from visor_eval.harness.checkpoints import find_checkpoint
from visor_eval.models.llava_onevision import LlavaOnevision
from visor_eval.models.loading import load_backbone
from visor_eval.training.attention import KEPT, SCORES, received, share_found, sub_tiles
from visor_eval.training.labels import LabelSet, cell_labels
from visor_eval.training.stream import QuestionTokens, Stream
from visor_tasks.mini import TASKS

MEMBER = "visor-tiny"
IMAGES = 24  # of one tile in a batch; fewer of several tiles


@dataclass(frozen=True)
class Tiles:
    """What tiles show, and where the tower looks."""

    scores: Tensor  # [tiles, patches]
    shown: Tensor  # [tiles, patches, labels]

    @classmethod
    def join(cls, parts: "list[Tiles]") -> "Tiles":
        """All of them."""
        return cls(torch.cat([part.scores for part in parts]), torch.cat([part.shown for part in parts]))

    @property
    def row(self) -> list[float]:
        """Tiles, share of cells with a label, share found, share that could be, all but the first in percent."""
        labelled = (self.shown.amax(-1) > 0).float()
        shares = (labelled.mean().item(), share_found(self.scores, self.shown), share_found(labelled, self.shown))
        return [len(self.scores), *(100 * share for share in shares), 100 * KEPT / labelled.shape[1]]


@torch.no_grad()
def look(backbone: LlavaOnevision, task: str, batches: int) -> Tiles:
    """Sub-tiles of one task's dev images."""
    stream, parts = Stream(QuestionTokens.of(backbone.processor), (task,), "dev", 0, IMAGES, 1), []
    labels = LabelSet.default()
    for step in range(batches):
        batch = stream.batch(step)
        pixels = batch.packed.pixels.flatten(0, 1)
        _, capture = backbone.tower(pixels, SCORES)
        shown = cell_labels(batch.items, labels).flatten(0, 1)
        parts.append(Tiles(sub_tiles(received(capture, len(pixels)), batch), sub_tiles(shown, batch)))
    return Tiles.join(parts)


def main() -> None:
    """Print one row per task, then all tasks' cells together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pretrained", default=MEMBER, help="an embedded member's name or a checkpoint folder")
    parser.add_argument("--batches", type=int, default=6, help="of dev images per task")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone = load_backbone(Path(find_checkpoint(options.pretrained, default=MEMBER).source))
    by_task = {task: look(backbone, task, options.batches) for task in TASKS}
    rows = [[name, *tiles.row] for name, tiles in {**by_task, "all": Tiles.join([*by_task.values()])}.items()]
    headers = ["task", "tiles", "labelled %", "found %", "possible %", "chance %"]
    sys.stdout.write(tabulate(rows, headers, tablefmt="github", floatfmt=".1f") + "\n")


if __name__ == "__main__":
    main()
