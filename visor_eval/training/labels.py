"""What each vision token shows, as the generator drew it: the labels for encoder pretraining and alignment.

These come from training images only. They are an aid that photographs would not give (the model cards say so).
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visor_eval.training.family import SIDE
from visor_eval.training.stream import QuestionTokens, layout_of
from visor_tasks.mini import WORDS, Item


@dataclass(frozen=True)
class LabelSet:
    """The words and glyphs a cell can show."""

    words: tuple[str, ...]

    @classmethod
    def default(cls, extra: Iterable[str] = ()) -> "LabelSet":
        """The suite's words, capitals, digits and signs."""
        return cls(tuple(dict.fromkeys((*WORDS, *string.ascii_uppercase, *string.digits, *"+-=", *extra))))

    @property
    def places(self) -> dict[str, int]:
        """Word -> column of the label tensors."""
        return {word: place for place, word in enumerate(self.words)}

    def columns(self, words: Iterable[str]) -> Tensor:
        """Columns of these words in the label tensors."""
        places = self.places
        return torch.tensor([places[word] for word in words])

    def embeddings(self, table: Tensor, tokens: QuestionTokens) -> Tensor:
        """The mean token embedding of each label [labels, hidden]."""
        return torch.stack([table[torch.tensor(tokens.ids(word), device=table.device)].mean(0) for word in self.words])


def canvas_labels(items: Sequence[Item], labels: LabelSet) -> Tensor:
    """Labels of every cell of same-sized images, 1 where it shows a word [images, cell rows, cell columns, labels].

    Raises:
        KeyError: a cell shows a word that ``labels`` lacks.
    """
    rows, columns = layout_of(items[0])
    places = labels.places
    canvas = torch.zeros(len(items), rows * SIDE, columns * SIDE, len(labels.words))
    for number, item in enumerate(items):
        for (row, column), words in item.cells.items():
            for word in words:
                canvas[number, row, column, places[word]] = 1.0
    return canvas


def cell_labels(items: Sequence[Item], labels: LabelSet) -> Tensor:
    """Labels of every vision patch of same-sized images [images, 1 + rows * columns, 49, labels].

    A sub-tile's patch is one cell: 1 where it shows a word. A thumbnail's patch covers rows x columns cells: the share
    of them that show it.

    Raises:
        KeyError: a cell shows a word that ``labels`` lacks.
    """
    rows, columns = layout_of(items[0])
    canvas = canvas_labels(items, labels)
    blocks = canvas.view(len(items), SIDE, rows, SIDE, columns, -1).mean((2, 4)).flatten(1, 2)
    crops = canvas.view(len(items), rows, SIDE, columns, SIDE, -1).transpose(2, 3)
    crops = crops.reshape(len(items), rows * columns, SIDE * SIDE, -1)
    return torch.cat((blocks[:, None], crops), dim=1)
