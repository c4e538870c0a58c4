"""Downsample, image level: the picture shrunk by a whole number before it is tiled.

VTC-Bench's control (Liao et al., arXiv:2510.07143) as Chenfei-Liao/VTC-Bench at 983e443 (Apache-2.0) does it for
Qwen2-VL: bicubic to (width // ratio, height // ratio), budgets 1/ratio^2; written anew from
docs/spec/encoder_methods.md section 5, reading A. On LLaVA-OneVision it changes only how many tiles an image gets,
and at least two remain: the tokens are not in proportion.

Deviations: the JPEG re-encoding that follows in the authors' code is left out; other modes become RGB before the
resize, not after it, since Pillow resizes palette images without a filter.
"""

from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from visor_eval.core.tokens import Need, VisionTokens


@dataclass(frozen=True, kw_only=True)
class DownsampleImage:
    """Shrink the image before tiling; the tokens are left alone."""

    ratio: int = 2  # of each side; VTC-Bench: 1, 2, 3, 4, 5, 10

    needs: ClassVar[frozenset[Need]] = frozenset()
    after_projector: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Reject ratios that would enlarge the image."""
        if not isinstance(self.ratio, int) or self.ratio < 1:
            raise ValueError(f"ratio must be an integer of at least 1, got {self.ratio!r}")

    def prepare(self, image: Image.Image) -> Image.Image:
        """The image that is tiled instead.

        Raises:
            ValueError: nothing would be left of a side.
        """
        width, height = image.width // self.ratio, image.height // self.ratio
        if not width or not height:
            raise ValueError(f"a {image.width} x {image.height} image cannot shrink by {self.ratio}: lower ratio")
        return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """The tokens as they are."""
        return tokens

    def flops(self, *, tiles: int, tokens: int, dim: int, key_dim: int) -> int:
        """Resizing is no matrix product."""
        return 0
