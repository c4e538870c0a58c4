"""Costs without a run: known values, ranges, and what must hold for every method."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visor_eval.cost import BACKBONES, backbone
from visor_eval.cost.estimate import Text, for_images, for_tokens
from visor_eval.cost.variants import Variant, distinct_methods, variants
from visor_eval.records import CostRecord

HALF_BILLION = backbone("llava-ov-0.5b")
METHODS = tuple(name for name in distinct_methods()[0] if name != "downsample-image")
EVERY = {(shape.name, variant.label): variant for shape in BACKBONES.values() for variant in variants(METHODS, shape)}


def savings(method: str, tokens: int, *, setting: str = "", shape: str = "llava-ov-0.5b") -> dict[str, float]:
    variant = EVERY[shape, f"{method} {setting}".rstrip()]
    cost = for_tokens(BACKBONES[shape], variant, tokens, Text())
    found = {name: cost.dense_total(name) / cost.total(name) for name in ("paper", "exact", "end_to_end")}
    return {**found, "causal": cost.dense_total(causal=True) / cost.total(causal=True)}


@pytest.mark.parametrize(
    ("method", "setting", "tokens", "paper", "exact", "causal"),
    [
        ("visor", "[1, 4]", 729, 12.00, 7.91, 7.79),
        ("visor", "[1, 4]", 7290, 12.00, 11.23, 11.01),
        ("visor", "[1, 4, 7]", 7290, 8.00, 7.65, 7.56),
        ("visor", "[1, 4, 7, 16]", 7290, 6.00, 5.81, 5.75),
        ("visor", "[1, 4, 7, 10, 16, 19, 22]", 7290, 3.43, 3.37, 3.35),
        ("visionzip", "", 729, 5.70, 5.08, 4.92),
        ("visionzip", "", 7290, 5.70, 9.06, 7.45),
        ("dense", "", 7290, 1.00, 1.00, 1.00),
    ],
)
def test_known_savings(method: str, setting: str, tokens: int, paper: float, exact: float, causal: float) -> None:
    """What the design document and docs/cost.md say, from formulas that do not know of these methods."""
    found = savings(method, tokens, setting=setting)
    assert [round(found[name], 2) for name in ("paper", "exact", "causal")] == [paper, exact, causal]


@pytest.mark.parametrize(
    ("method", "setting", "paper"),
    [
        ("vispruner", "", 729 / 128),
        ("vispruner-16x", "", 729 / 46),
        ("hired", "", 729 / 145),
        ("m3", "", 729 / 90),
        ("m3", "16x", 729 / 49),
        ("downsample", "", 729 / 182),
        ("visor-tr", "2x [1, 4]", 24.0),
        ("visor-tr", "4x [1, 4]", 48.0),
        ("visor-zero", "[1, 4]", 12.0),
    ],
)
def test_paper_savings(method: str, setting: str, paper: float) -> None:
    assert savings(method, 729, setting=setting)["paper"] == pytest.approx(paper)


@pytest.mark.parametrize(
    ("names", "paper"),
    [
        ("visor-tr+m3", 24 * 361 / 42),  # 6 x 7 of 19 x 19
        ("visor-tr+downsample", 24 * 361 / 90),  # 9 x 10
        ("m3+visor-tr", 24 * 729 / 90),  # 9 x 10 of 27 x 27, and half of that
        ("visor+m3", 12 * 729 / 90),
    ],
)
@pytest.mark.parametrize("shape", ["llava-ov-0.5b", "qwen2-vl-2b"])
def test_paper_savings_of_compositions(names: str, paper: float, shape: str) -> None:
    """A nominal factor stands beside what the other reducers leave, not instead of it: `m3` runs before the projector.

    Qwen2-VL has no tiles; 729 vision tokens are one grid of 27 x 27, and [1, 4] is 2 of its 28 layers.
    """
    backbone_shape = BACKBONES[shape]
    options = {"after_projector": False} if names == "m3+visor-tr" else {}
    first = variants((names,), backbone_shape, options)[0]
    assert first.full == (1, 4)
    for cost in (
        for_tokens(backbone_shape, first, 729, Text()),
        for_images(backbone_shape, first, [(384, 384) if backbone_shape.tower else (756, 756)], Text()),
    ):
        assert cost.nominal_dense / cost.nominal == pytest.approx(paper * backbone_shape.decoder.layers / 24)


def test_a_nominal_factor_is_met_exactly() -> None:
    """2 and 4 to the last bit, whatever grid comes closest to them."""
    for shape in BACKBONES.values():
        for factor in (2, 4):
            variant = EVERY[shape.name, f"visor-tr {factor}x [1, 4]"]
            for sizes in ([(384, 384)], [(960, 1280)], [(300, 1152), (56, 84)]):
                cost = for_images(shape, variant, sizes, Text())
                assert cost.nominal_dense / cost.nominal == factor * shape.decoder.layers / 2


def test_paper_savings_of_several_images() -> None:
    """Without tiles the vision tokens of all images count, on both sides."""
    for name in BACKBONES:
        cost = for_images(BACKBONES[name], EVERY[name, "dense"], [(560, 840), (28, 28)], Text())
        assert cost.nominal == cost.nominal_dense


def test_paper_savings_of_schedules() -> None:
    """8 easy and 4 hard tasks: 4.11 and 4.51; SparseVLM 3.80 (docs/savings.md)."""
    for shape, mean in (("llava-ov-0.5b", 4.107), ("llava-ov-1.5b", 4.509)):
        easy, hard = (savings("pyramiddrop", 100_000, setting=kind, shape=shape)["paper"] for kind in ("easy", "hard"))
        assert (8 * easy + 4 * hard) / 12 == pytest.approx(mean, abs=1e-3)
    assert savings("sparsevlm", 100_000)["paper"] == pytest.approx(3.80, abs=5e-3)
    assert savings("fastv", 100_000)["paper"] == pytest.approx(24 / (2 + 22 / 2), abs=1e-3)


@pytest.mark.parametrize("name", sorted({name for name, _ in EVERY}))
@given(tokens=st.integers(1, 20_000), text=st.integers(1, 200), data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_holds_for_every_method(name: str, tokens: int, text: int, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(sorted(label for shape, label in EVERY if shape == name)))
    given_text = Text(prompt=text, prefix=data.draw(st.integers(0, text)), generated=data.draw(st.integers(1, 9)))
    shape, variant = BACKBONES[name], EVERY[name, label]
    cost = for_tokens(shape, variant, tokens, given_text)
    assert CostRecord.from_dict(cost.to_dict()) == cost
    assert cost.vision_tokens <= cost.dense_vision_tokens == tokens
    dense = for_tokens(shape, EVERY[name, "dense"], tokens, given_text)
    assert (
        (dense.prefill, dense.decode) == (cost.dense_prefill, cost.dense_decode) == (dense.dense_prefill, dense.decode)
    )
    for phase in (cost.prefill, cost.decode):
        assert phase.total(causal=True) <= phase.total()
        assert all(value % 2 == 0 for value in phase.to_dict().values() if isinstance(value, int) and value > 1)
    assert cost.prefill.tower == cost.dense_prefill.tower
    assert cost.kv_cache_bytes <= cost.kv_cache_bytes_dense
    assert cost.nominal <= cost.nominal_dense + 1e-9
    more = for_tokens(shape, variant, tokens + 729, given_text)
    assert more.prefill.total() > cost.prefill.total()


def test_tiles_and_their_parts() -> None:
    """1,000 tokens are two tiles, the second one cut; reducers keep the same share."""
    visionzip = EVERY["llava-ov-0.5b", "visionzip"]
    cost = for_tokens(HALF_BILLION, visionzip, 1_000, Text())
    assert (cost.tiles, cost.vision_tokens) == (2, round(256 * 1_000 / 1_458))
    one = for_tokens(HALF_BILLION, visionzip, 729, Text())
    assert cost.prefill.tower == 2 * one.prefill.tower
    assert cost.prefill.reducer == 2 * one.prefill.reducer


def test_a_selection_on_padding() -> None:
    """300 x 900 px: the canvas of 1 x 3 tiles is filled; 100 px more of width are padded above and below."""
    variant = EVERY["llava-ov-0.5b", "random"]
    full = for_images(HALF_BILLION, variant, [(384, 1152)], Text())
    assert full.vision_tokens == 4 * 128 + 27
    padded = for_images(HALF_BILLION, variant, [(300, 1152)], Text())
    rows = HALF_BILLION.images.count(300, 1152).rows  # type: ignore[union-attr]
    assert padded.vision_tokens == 128 + round(3 * 128 * rows / 27) + rows
    most = for_images(HALF_BILLION, variant, [(300, 1152)], Text(), most=True)
    assert most.vision_tokens == 4 * 128 + rows


def test_smaller_images_need_sizes() -> None:
    (variant,) = variants(("downsample-image",), HALF_BILLION)
    with pytest.raises(ValueError, match="image sizes"):
        for_tokens(HALF_BILLION, variant, 729, Text())
    cost = for_images(HALF_BILLION, variant, [(768, 768)], Text())
    assert (cost.tiles, cost.vision_tokens) == (2, 2 * 729 + 27)
    assert cost.dense_vision_tokens == 729 + 54 * 54 + 54


def test_images_without_tiles() -> None:
    shape = backbone("qwen2-vl-2b")
    dense, visionzip = (EVERY["qwen2-vl-2b", label] for label in ("dense", "visionzip"))
    cost = for_images(shape, dense, [(560, 840), (28, 28)], Text())
    assert cost.dense_vision_tokens == 20 * 30 + 4  # 28 x 28 px are enlarged to 56 x 56
    assert for_images(shape, visionzip, [(756, 756)], Text()).vision_tokens == 128
    assert cost.prefill.tower > 0
    assert cost.prefill.projector == 604 * 2 * 5120 * (5120 + 1536)


def test_samples_without_images() -> None:
    for name, variant in (("llava-ov-0.5b", "visionzip"), ("qwen2-vl-2b", "visor [1, 4]")):
        cost = for_images(BACKBONES[name], EVERY[name, variant], [], Text())
        assert (cost.vision_tokens, cost.tiles, cost.prefill.tower) == (0, 0, 0)
        assert math.isfinite(cost.dense_total() / cost.total())
        assert cost.total("paper") == cost.dense_total("paper") == 0


@pytest.mark.parametrize("counts", [{"prompt": 0}, {"prefix": 33}, {"prefix": -1}, {"generated": 0}], ids=str)
def test_impossible_texts(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a prompt of at least one token"):
        Text(**counts)
    with pytest.raises(ValueError, match="at least one vision token"):
        for_tokens(HALF_BILLION, Variant(method="dense"), 0, Text())
