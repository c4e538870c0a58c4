"""Shapes of a vision-language model as plain numbers: all that the closed-form cost needs to know.

Shapes are read off a checkpoint's config in the models room; the presets here need no checkpoint.
"""

from dataclasses import dataclass, fields

from visor_eval.cost.anyres import AnyRes
from visor_eval.cost.native import NativeResolution


def _positive(shape: object, *, zero_allowed: tuple[str, ...] = ()) -> None:
    for field in fields(shape):  # type: ignore[arg-type]
        value = getattr(shape, field.name)
        if isinstance(value, int) and value < (0 if field.name in zero_allowed else 1):
            raise ValueError(f"{type(shape).__name__}.{field.name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """A decoder of Qwen2's kind: grouped-query attention, gated MLP, untied or tied LM head."""

    layers: int
    hidden: int  # width of the residual stream
    heads: int  # query heads
    kv_heads: int  # key and value heads
    head_dim: int
    intermediate: int  # width of the gated MLP
    vocab: int  # rows of the LM head

    def __post_init__(self) -> None:
        """Reject impossible numbers."""
        _positive(self)
        if self.heads % self.kv_heads:
            raise ValueError(f"heads must be a multiple of kv_heads, got {self.heads} and {self.kv_heads}")

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads (or all value heads) together."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True, kw_only=True)
class TowerShape:
    """A vision transformer over square tiles, with a convolutional patch embedding and no class token (SigLIP)."""

    layers: int  # that are executed
    hidden: int
    heads: int
    intermediate: int  # width of the two-layer MLP
    patch_px: int  # side of a patch in pixels
    tile_px: int  # side of a tile in pixels
    channels: int = 3

    def __post_init__(self) -> None:
        """Reject impossible numbers."""
        _positive(self, zero_allowed=("layers",))
        if self.patch_px > self.tile_px:
            raise ValueError(f"a patch of {self.patch_px} px does not fit a tile of {self.tile_px} px")

    @property
    def side(self) -> int:
        """Patches along one side of a tile; a rest narrower than a patch is dropped (384 px / 14 px: 27)."""
        return self.tile_px // self.patch_px

    @property
    def tokens(self) -> int:
        """Tokens of one tile."""
        return self.side**2


@dataclass(frozen=True, kw_only=True)
class NativeTowerShape:
    """A vision transformer over one image of any size, whose patches are merged into vision tokens (Qwen2-VL)."""

    layers: int
    hidden: int
    heads: int
    intermediate: int  # width of the two-layer MLP
    patch_px: int  # side of a patch in pixels
    merge: int  # a block of merge x merge patches becomes one vision token
    frames: int = 2  # an image is fed this many times to the patch embedding
    channels: int = 3

    def __post_init__(self) -> None:
        """Reject impossible numbers."""
        _positive(self)


@dataclass(frozen=True, kw_only=True)
class ProjectorShape:
    """Two linear layers from the tower's width to the decoder's."""

    inputs: int
    hidden: int
    outputs: int

    def __post_init__(self) -> None:
        """Reject impossible numbers."""
        _positive(self)


@dataclass(frozen=True, kw_only=True)
class VisorShape:
    """What VISOR adds to a decoder."""

    read_layers: tuple[int, ...]  # layers, from 1, that have an added cross-attention block
    conv_kernel: int = 7  # width of the depthwise convolution over the vision tokens; 0: none
    router_hidden: int = 0  # width of the router's hidden layer; 0: no router
    configurations: int = 13  # outputs of the router
    probe_layer: int = 3  # the routing token runs through layers 1..probe_layer

    def __post_init__(self) -> None:
        """Reject impossible numbers."""
        _positive(self, zero_allowed=("conv_kernel", "router_hidden"))
        if any(layer < 1 for layer in self.read_layers):
            raise ValueError(f"read_layers are counted from 1, got {self.read_layers}")


@dataclass(frozen=True, kw_only=True)
class BackboneShape:
    """A whole model. Tower and projector are None where their cost is unknown or given by the caller."""

    name: str
    decoder: DecoderShape
    tower: TowerShape | None = None
    projector: ProjectorShape | None = None
    visor: VisorShape | None = None
    native_tower: NativeTowerShape | None = None  # instead of ``tower``, for models without tiles
    images: AnyRes | NativeResolution | None = None  # how many vision tokens an image becomes; None: unknown


SIGLIP_SO400M_384 = TowerShape(layers=26, hidden=1152, heads=16, intermediate=4304, patch_px=14, tile_px=384)


def _llava_onevision(name: str, decoder: DecoderShape) -> BackboneShape:
    tower = SIGLIP_SO400M_384
    projector = ProjectorShape(inputs=tower.hidden, hidden=decoder.hidden, outputs=decoder.hidden)
    rule = AnyRes.square_grid(tower.tile_px, tower.side)
    return BackboneShape(name=name, decoder=decoder, tower=tower, projector=projector, images=rule)


def _qwen2_vl(name: str, decoder: DecoderShape) -> BackboneShape:
    tower = NativeTowerShape(layers=32, hidden=1280, heads=16, intermediate=5120, patch_px=14, merge=2)
    merged = tower.hidden * tower.merge**2
    return BackboneShape(
        name=name,
        decoder=decoder,
        projector=ProjectorShape(inputs=merged, hidden=merged, outputs=decoder.hidden),
        native_tower=tower,
        images=NativeResolution(),
    )


BACKBONES: dict[str, BackboneShape] = {
    shape.name: shape
    for shape in (
        _llava_onevision(  # llava-hf/llava-onevision-qwen2-0.5b-ov-hf
            "llava-ov-0.5b",
            DecoderShape(layers=24, hidden=896, heads=14, kv_heads=2, head_dim=64, intermediate=4864, vocab=152_000),
        ),
        _llava_onevision(  # the paper's own 1.5B, not published: Qwen2-1.5B, vocabulary padded as the others'
            "llava-ov-1.5b",
            DecoderShape(layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=152_000),
        ),
        _llava_onevision(  # llava-hf/llava-onevision-qwen2-7b-ov-hf
            "llava-ov-7b",
            DecoderShape(
                layers=28, hidden=3584, heads=28, kv_heads=4, head_dim=128, intermediate=18_944, vocab=152_128
            ),
        ),
        _qwen2_vl(  # Qwen/Qwen2-VL-2B-Instruct: config.json and preprocessor_config.json
            "qwen2-vl-2b",
            DecoderShape(layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151_936),
        ),
    )
}


def backbone(name: str) -> BackboneShape:
    """Return a preset.

    Raises:
        ValueError: unknown name; the valid ones are listed.
    """
    try:
        return BACKBONES[name]
    except KeyError:
        raise ValueError(f"unknown backbone {name!r}; valid: {', '.join(BACKBONES)}") from None
