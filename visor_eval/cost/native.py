"""How many vision tokens an image costs where it is not cut into tiles (Qwen2-VL's native resolution).

Same arithmetic as transformers' ``smart_resize``: both sides go to the nearest multiple of a merged patch, and the area
is scaled into its limits. Each merged patch is one vision token; there are no newlines.
"""

import math
from dataclasses import dataclass

MAX_ASPECT = 200


@dataclass(frozen=True, kw_only=True)
class NativeResolution:
    """The rule of one model.

    Attributes:
        unit_px: side in pixels of what becomes one vision token (14 px patches, merged 2 x 2: 28).
        min_pixels: smaller images are enlarged to this area.
        max_pixels: larger images are shrunk to this area.
    """

    unit_px: int = 28
    min_pixels: int = 3_136
    max_pixels: int = 12_845_056

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Vision tokens of one image: rows and columns.

        Raises:
            ValueError: a side is not positive, or one is more than 200 times the other.
        """
        if height < 1 or width < 1:
            raise ValueError(f"image size must be positive, got {height} x {width}")
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise ValueError(f"{width} x {height} px: one side is more than {MAX_ASPECT} times the other: leave it out")
        unit = self.unit_px
        rows, columns = round(height / unit), round(width / unit)
        if rows * columns * unit**2 > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            return max(1, math.floor(height / shrink / unit)), max(1, math.floor(width / shrink / unit))
        if rows * columns * unit**2 < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            return math.ceil(height * grow / unit), math.ceil(width * grow / unit)
        return rows, columns
