"""What each method would save on a set of images, from their sizes alone: the paper's savings without a model.

The saving of a set is mean(dense) / mean(method) over its samples, as everywhere; its interval comes from resampling
samples, the same draws for every method. The mean over sets is plain.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval
from visor_eval.analysis.savings import ratios
from visor_eval.cost.estimate import Text, for_images, vision_counts
from visor_eval.cost.shapes import BackboneShape
from visor_eval.cost.variants import Variant
from visor_eval.records import Accounting

Sizes = tuple[tuple[int, int], ...]  # (height, width) in pixels of one sample's images


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The image sizes of a dataset, sample by sample."""

    name: str
    samples: tuple[Sizes, ...]

    def __post_init__(self) -> None:
        """Reject a set without samples."""
        if not self.samples:
            raise ValueError(f"{self.name}: no samples")


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """What the dense model makes of a set.

    Attributes:
        name: of the set; None: the mean over sets.
        samples: how many.
        images: of all samples.
        tiles: of a sample, mean.
        vision_tokens: of a sample, mean.
        fewest: vision tokens of the smallest sample.
        most: vision tokens of the largest sample.
    """

    name: str
    samples: int
    images: int
    tiles: Interval
    vision_tokens: Interval
    fewest: int
    most: int


@dataclass(frozen=True, kw_only=True)
class MethodSaving:
    """What one variant saves on one set, or on average over sets.

    Attributes:
        vision_tokens: that enter the decoder, mean.
        savings: by accounting.
        causal: ``exact``, only the causal half of attention counted.
        at_least: ``exact``, were the pictures the worst for the method; None: pictures make no difference.
    """

    method: str
    setting: str
    vision_tokens: Interval
    savings: Mapping[Accounting, Interval]
    causal: Interval
    at_least: Interval | None

    @property
    def label(self) -> str:
        """Method and setting."""
        return f"{self.method} {self.setting}".rstrip()


@dataclass(frozen=True, kw_only=True)
class SetSavings:
    """One set, or the mean over several."""

    name: str
    tokens: TokenCounts | None  # None: the mean
    methods: tuple[MethodSaving, ...]


def image_savings(
    backbone: BackboneShape,
    variants: Sequence[Variant],
    sets: Sequence[ImageSet],
    text: Text,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[SetSavings]:
    """Every variant on every set, and their plain mean where there are several sets.

    Args:
        backbone: one whose ``images`` says how many tokens an image becomes.
        variants: of that backbone.
        sets: images.
        text: of every sample.
        resamples: bootstrap samples.
        seed: of the draws.

    Raises:
        ValueError: an image that the backbone or a method refuses.
    """
    drawn = [_Drawn(backbone, one, resamples, seed) for one in sets]
    found, draws = [], []
    for one in drawn:
        measured = [one.method(variant, text) for variant in variants]
        draws.append(measured)
        found.append(SetSavings(name=one.name, tokens=one.tokens(), methods=tuple(each.summary() for each in measured)))
    if len(sets) > 1:
        means = tuple(_Measured.mean(each).summary() for each in zip(*draws, strict=True))
        found.append(SetSavings(name=f"mean of {len(sets)} sets", tokens=None, methods=means))
    return found


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One variant on one set: each number on the observed samples, and resampled [resamples]."""

    variant: Variant
    estimates: Mapping[str, float]
    draws: Mapping[str, np.ndarray]

    @classmethod
    def mean(cls, of: Sequence["_Measured"]) -> "_Measured":
        """Plain mean over sets."""
        return cls(
            variant=of[0].variant,
            estimates={key: float(np.mean([each.estimates[key] for each in of])) for key in of[0].estimates},
            draws={key: np.mean([each.draws[key] for each in of], axis=0) for key in of[0].draws},
        )

    def summary(self) -> MethodSaving:
        ends = {key: Interval.from_draws(self.estimates[key], self.draws[key]) for key in self.estimates}
        return MethodSaving(
            method=self.variant.method,
            setting=self.variant.setting,
            vision_tokens=ends["vision_tokens"],
            savings={accounting: ends[accounting] for accounting in Accounting},
            causal=ends["causal"],
            at_least=ends.get("at_least"),
        )


class _Drawn:
    """A set with its bootstrap: how often each kind of sample was drawn."""

    def __init__(self, backbone: BackboneShape, images: ImageSet, resamples: int, seed: int) -> None:
        self.name, self._backbone = images.name, backbone
        kinds = Counter(images.samples)
        self._kinds = list(kinds)
        self._times = np.array(list(kinds.values()))  # [kinds]
        total = int(self._times.sum())
        generator = np.random.default_rng([seed, zlib.crc32(images.name.encode())])
        self._draws = generator.multinomial(total, self._times / total, size=resamples)  # [resamples, kinds]
        self._dense = [vision_counts(backbone, (), sizes) for sizes in self._kinds]

    def tokens(self) -> TokenCounts:
        counts = [dense.tokens for dense in self._dense]
        return TokenCounts(
            name=self.name,
            samples=int(self._times.sum()),
            images=int(sum(len(sizes) * times for sizes, times in zip(self._kinds, self._times, strict=True))),
            tiles=self._mean([dense.tiles for dense in self._dense]),
            vision_tokens=self._mean(counts),
            fewest=min(counts),
            most=max(counts),
        )

    def method(self, variant: Variant, text: Text) -> _Measured:
        """Cost of every kind of sample, summed as drawn."""
        costs = [for_images(self._backbone, variant, sizes, text) for sizes in self._kinds]
        columns = {
            accounting.value: [(cost.dense_total(accounting), cost.total(accounting)) for cost in costs]
            for accounting in Accounting
        }
        columns["causal"] = [(cost.dense_total(causal=True), cost.total(causal=True)) for cost in costs]
        if any(hasattr(reducer, "left") for reducer in variant.reducers):
            worst = [for_images(self._backbone, variant, sizes, text, most=True) for sizes in self._kinds]
            if any(one.vision_tokens != other.vision_tokens for one, other in zip(worst, costs, strict=True)):
                columns["at_least"] = [(cost.dense_total(), cost.total()) for cost in worst]
        estimates, draws = {}, {}
        for key, pairs in columns.items():
            sums = self._times @ np.array(pairs)
            drawn = self._draws @ np.array(pairs)  # [resamples, 2]
            estimates[key], draws[key] = float(ratios(sums[0], sums[1])), ratios(drawn[:, 0], drawn[:, 1])
        kept = np.array([cost.vision_tokens for cost in costs])
        total = self._times.sum()
        estimates["vision_tokens"] = float(self._times @ kept / total)
        draws["vision_tokens"] = self._draws @ kept / total
        return _Measured(variant=variant, estimates=estimates, draws=draws)

    def _mean(self, values: Sequence[float]) -> Interval:
        total, column = self._times.sum(), np.array(values)
        return Interval.from_draws(float(self._times @ column / total), self._draws @ column / total)
