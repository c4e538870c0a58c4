"""Savings of sets of images: ratios of means over samples, intervals over samples, plain means over sets."""

import numpy as np
import pytest

from visor_eval.analysis.image_savings import ImageSet, image_savings
from visor_eval.cost import backbone
from visor_eval.cost.estimate import Text, for_images
from visor_eval.cost.variants import variants
from visor_eval.records import Accounting

SHAPE = backbone("llava-ov-0.5b")
METHODS = variants(("dense", "visor", "visionzip", "pyramiddrop"), SHAPE)
MIXED = ImageSet(name="mixed", samples=(((384, 384),), ((768, 1536),), ((300, 1100),), ((768, 1536),), ()))
ALIKE = ImageSet(name="alike", samples=(((600, 800),),) * 7)


def test_savings_are_ratios_of_means() -> None:
    (found,) = image_savings(SHAPE, METHODS, [MIXED], Text())
    for variant, method in zip(METHODS, found.methods, strict=True):
        costs = [for_images(SHAPE, variant, sizes, Text()) for sizes in MIXED.samples]
        assert method.label == variant.label
        for accounting in Accounting:
            expected = sum(cost.dense_total(accounting) for cost in costs) / sum(
                cost.total(accounting) for cost in costs
            )
            interval = method.savings[accounting]
            assert interval.estimate == pytest.approx(expected)
            assert interval.low <= interval.estimate <= interval.high
        assert method.vision_tokens.estimate == pytest.approx(np.mean([cost.vision_tokens for cost in costs]))
    assert found.tokens is not None
    assert (found.tokens.samples, found.tokens.images, found.tokens.fewest) == (5, 4, 0)
    dense = found.methods[0].savings[Accounting.EXACT]
    assert (dense.low, dense.high) == (1, 1)


def test_only_selecting_methods_depend_on_the_picture() -> None:
    (found,) = image_savings(SHAPE, METHODS, [MIXED], Text())
    by_method = {method.method: method for method in found.methods}
    assert by_method["visor"].at_least is None
    assert by_method["pyramiddrop"].at_least is None
    worst = by_method["visionzip"].at_least
    assert worst is not None
    assert worst.estimate < by_method["visionzip"].savings[Accounting.EXACT].estimate


def test_samples_without_images_save_nothing_by_the_papers_accounting() -> None:
    """Neither side has vision tokens: the saving of a mixed set is that of its images, of texts alone it is 1."""
    mixed = ImageSet(name="mixed", samples=(((384, 384),), ()))
    texts = ImageSet(name="texts", samples=((), ()))
    found, alone, _ = image_savings(SHAPE, METHODS, [mixed, texts], Text())
    for variant, method, none in zip(METHODS, found.methods, alone.methods, strict=True):
        image = for_images(SHAPE, variant, [(384, 384)], Text())
        paper = method.savings[Accounting.PAPER]
        assert paper.estimate == pytest.approx(image.dense_total("paper") / image.total("paper"))
        assert paper.low == 1  # a resample of texts alone
        nothing = none.savings[Accounting.PAPER]
        assert (nothing.estimate, nothing.low, nothing.high) == (1, 1, 1)


def test_equal_samples_have_no_spread_and_means_are_plain() -> None:
    mixed, alike, mean = image_savings(SHAPE, METHODS, [MIXED, ALIKE], Text())
    assert mean.name == "mean of 2 sets"
    for one, other, both in zip(mixed.methods, alike.methods, mean.methods, strict=True):
        exact = other.savings[Accounting.EXACT]
        assert exact.low == pytest.approx(exact.estimate) == exact.high
        expected = (one.savings[Accounting.EXACT].estimate + exact.estimate) / 2
        assert both.savings[Accounting.EXACT].estimate == pytest.approx(expected)


def test_draws_depend_on_the_set_alone() -> None:
    (first,) = image_savings(SHAPE, METHODS, [MIXED], Text(), resamples=50)
    again, _, _ = image_savings(SHAPE, METHODS[:1] + METHODS[-1:], [MIXED, ALIKE], Text(), resamples=50)
    assert first.methods[-1] == again.methods[-1]
    assert first.methods[0] == again.methods[0]


def test_a_set_needs_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        ImageSet(name="none", samples=())
