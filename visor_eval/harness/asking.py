"""One image, one question."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import find_checkpoint
from visor_eval.harness.hub import prepare
from visor_eval.harness.registry import default_checkpoint, load_engine, parse_model
from visor_eval.harness.samples import IMAGE_ERRORS, upright
from visor_eval.harness.settings import resolve_device, resolve_dtype

if TYPE_CHECKING:
    from visor_eval.models.engine import Answer


def ask(
    image: Path,
    question: str,
    *,
    model: str = "visor",
    pretrained: str | None = None,
    config: str | None = None,
    device: str | None = None,
    dtype: str = "auto",
    max_new_tokens: int = 64,
    model_args: Mapping[str, object] | None = None,
) -> "Answer":
    """Answer ``question`` about ``image``; the other arguments are those of `visor-eval run`.

    Raises:
        SetupError: the image cannot be read, or anything `load_engine` refuses.
    """
    parse_model(model)
    checkpoint = find_checkpoint(pretrained, default=pretrained or default_checkpoint(model))
    try:
        with Image.open(image) as opened:
            picture = upright(opened).convert("RGB")
    except IMAGE_ERRORS as error:
        raise SetupError(f"image {image} cannot be read ({error}): give a PNG or JPEG file") from error
    prepare(offline=checkpoint.local)
    from visor_eval.models.engine import Request

    device = resolve_device(device)
    engine = load_engine(
        model,
        pretrained=pretrained,
        device=device,
        dtype=resolve_dtype(dtype, device),
        config=config,
        **(model_args or {}),
    )
    (answer,) = engine.answer([Request(images=(picture,), prompt=question, max_new_tokens=max_new_tokens)])
    return answer
