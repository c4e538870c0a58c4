"""A canvas on the 8-px cell grid that remembers what every cell shows."""

import hashlib
import json

import numpy as np

from visor_tasks.mini.glyphs import CELL, glyph_mask, halves, pair_mask
from visor_tasks.mini.palette import BACKGROUNDS, COLORS, INK, block_mask, icon_mask


def ink_of(color: str | None) -> tuple[int, int, int]:
    """The RGB of a colour word; None is the usual dark ink."""
    if color is None:
        return INK
    return COLORS.get(color) or BACKGROUNDS[color]


class Canvas:
    """Pixels, cell labels and the list of drawing steps, which is the scene's canonical description."""

    def __init__(self, rows: int, columns: int, background: str = "white") -> None:
        """Start an empty canvas of so many cells."""
        self.rows, self.columns, self.background = rows, columns, background
        self.pixels = np.empty((rows * CELL, columns * CELL, 3), dtype=np.uint8)
        self.pixels[:] = ink_of(background)
        self.cells: dict[tuple[int, int], tuple[str, ...]] = {}
        self.steps: list[tuple] = [("size", rows, columns, background)]

    def _stamp(
        self, row: int, column: int, mask: np.ndarray, ink: tuple[int, int, int], shift: tuple[int, int]
    ) -> None:
        top, left = row * CELL + shift[0], column * CELL + shift[1]
        self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = ink

    def glyph(
        self, row: int, column: int, char: str, ink: str | None = None, *, shift: tuple[int, int] = (0, 0)
    ) -> None:
        """One capital, digit or sign in one cell."""
        self._stamp(row, column, glyph_mask(char), ink_of(ink), shift)
        ground = self.cells.get((row, column), ())[:1]
        self.cells[row, column] = (char, *(ground or ((ink,) if ink in COLORS else ())))
        self.steps.append(("glyph", row, column, char, ink, shift))

    def text(self, row: int, column: int, text: str, ink: str | None = None) -> None:
        """A string, one glyph per cell."""
        for offset, char in enumerate(text):
            self.glyph(row, column + offset, char, ink)

    def word(self, row: int, column: int, word: str, ink: str | None = None) -> None:
        """A vocabulary word in the small font; every cell it takes is labelled with the whole word."""
        for offset, pair in enumerate(halves(word)):
            self._stamp(row, column + offset, pair_mask(pair), ink_of(ink), (0, 0))
            ground = self.cells.get((row, column + offset), ())[:1]
            self.cells[row, column + offset] = (word, *ground)
        self.steps.append(("word", row, column, word, ink))

    def icon(self, row: int, column: int, shape: str, color: str | None = None) -> None:
        """A shape or an arrow in one cell."""
        self._stamp(row, column, icon_mask(shape), ink_of(color), (0, 0))
        self.cells[row, column] = (color, shape) if color else (shape,)
        self.steps.append(("icon", row, column, shape, color))

    def block(self, row: int, column: int, shape: str, color: str) -> None:
        """A shape or vehicle over 2 x 2 cells."""
        self._stamp(row, column, block_mask(shape), ink_of(color), (0, 0))
        for r in (row, row + 1):
            for c in (column, column + 1):
                self.cells[r, c] = (color, shape)
        self.steps.append(("block", row, column, shape, color))

    def fill(self, row: int, column: int, height: int, width: int, color: str, *, label: bool = True) -> None:
        """A rectangle of whole cells in one colour."""
        self.pixels[row * CELL : (row + height) * CELL, column * CELL : (column + width) * CELL] = ink_of(color)
        if label:
            for r in range(row, row + height):
                for c in range(column, column + width):
                    self.cells[r, c] = (color,)
        self.steps.append(("fill", row, column, height, width, color))

    def bar(self, top: int, left: int, height: int, width: int, color: str) -> None:
        """A rectangle in pixels; cells it covers by half or more are labelled with its colour."""
        self.pixels[top : top + height, left : left + width] = ink_of(color)
        for r in range(top // CELL, -(-(top + height) // CELL)):
            inside = min(top + height, (r + 1) * CELL) - max(top, r * CELL)
            if 2 * inside >= CELL:
                for c in range(left // CELL, -(-(left + width) // CELL)):
                    if 2 * (min(left + width, (c + 1) * CELL) - max(left, c * CELL)) >= CELL:
                        self.cells[r, c] = (color,)
        self.steps.append(("bar", top, left, height, width, color))

    def line(self, top: int, left: int, height: int, width: int, color: str = "gray") -> None:
        """A rule in pixels; it labels nothing."""
        self.pixels[top : top + height, left : left + width] = ink_of(color)
        self.steps.append(("line", top, left, height, width, color))

    def description(self) -> str:
        """The canonical scene description: the sorted drawing steps as JSON."""
        return json.dumps(sorted(self.steps, key=repr), separators=(",", ":"))

    def digest(self) -> str:
        """sha256 of the description."""
        return hashlib.sha256(self.description().encode()).hexdigest()
