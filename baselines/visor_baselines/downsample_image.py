"""Downsample, image level: the picture shrunk by a whole number before it is tiled.

VTC-Bench's control (Liao et al., arXiv:2510.07143) as Chenfei-Liao/VTC-Bench at 983e443 (Apache-2.0) does it for
Qwen2-VL: bicubic to (width // ratio, height // ratio), budgets 1/ratio^2; written anew from
docs/spec/encoder_methods.md section 5, reading A. On LLaVA-OneVision it changes only how many tiles an image gets,
and at least two remain: the tokens are not in proportion.

Deviations: the JPEG re-encoding that follows in the authors' code is left out; other modes become RGB before the
resize, not after it, since Pillow resizes palette images without a filter.
"""

from dataclasses import dataclass

from PIL import Image

from visor_baselines.budgets.downsample_image import DownsampleImageBudget
from visor_eval.core.tokens import VisionTokens


@dataclass(frozen=True, kw_only=True)
class DownsampleImage(DownsampleImageBudget):
    """Shrink the image before tiling; the tokens are left alone."""

    def prepare(self, image: Image.Image) -> Image.Image:
        """The image that is tiled instead.

        Raises:
            ValueError: nothing would be left of a side.
        """
        height, width = self.prepared_size(image.height, image.width)
        return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)

    def reduce(self, tokens: VisionTokens) -> VisionTokens:
        """The tokens as they are."""
        return tokens
