"""Does the clock agree with the FLOPs? Speed-ups, their intervals, and how cost grows with the image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visor_eval.analysis.intervals import RESAMPLES, SEED, Interval
from visor_eval.records.bench import BenchEntry, PhaseTiming


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One phase of a method against the same phase of dense.

    Attributes:
        seconds: median over rounds.
        measured: dense's median over the method's.
        predicted: the same ratio in FLOPs, of attention only the causal half.
        predicted_full: in FLOPs, attention in full.
        realised: measured over predicted: 1 where the clock agrees.
        realised_full: measured over ``predicted_full``.
    """

    seconds: Interval
    measured: Interval
    predicted: float
    predicted_full: float
    realised: Interval
    realised_full: Interval


def speed(dense: PhaseTiming, method: PhaseTiming) -> Speed | None:
    """Compare one phase; None where either needs no FLOPs, so that nothing can be predicted."""
    if not min(dense.flops_causal, method.flops_causal):
        return None
    measured = speed_up(dense.seconds, method.seconds)
    predicted, full = dense.flops_causal / method.flops_causal, dense.flops / method.flops
    return Speed(
        seconds=median(method.seconds),
        measured=measured,
        predicted=predicted,
        predicted_full=full,
        realised=measured.scaled(1 / predicted),
        realised_full=measured.scaled(1 / full),
    )


def median(seconds: Sequence[float]) -> Interval:
    """Median of the rounds, with the percentile interval of resampled rounds."""
    values = np.asarray(seconds)
    return Interval.from_draws(float(np.median(values)), np.median(values[_draws(len(values))], axis=1))


def speed_up(dense: Sequence[float], method: Sequence[float]) -> Interval:
    """Ratio of medians; rounds are resampled together, since those of one round saw the same machine.

    Raises:
        ValueError: different numbers of rounds.
    """
    if len(dense) != len(method):
        raise ValueError(f"dense has {len(dense)} rounds, the method {len(method)}: they must be paired")
    slow, fast = np.asarray(dense), np.asarray(method)
    rounds = _draws(len(slow))
    draws = np.median(slow[rounds], axis=1) / np.median(fast[rounds], axis=1)
    return Interval.from_draws(float(np.median(slow) / np.median(fast)), draws)


def growth_exponent(tokens: Sequence[int], values: Sequence[float]) -> float:
    """Slope of ``values`` over ``tokens`` on logarithmic axes, by least squares: 1 is linear, 2 quadratic.

    Raises:
        ValueError: fewer than two different numbers of tokens.
    """
    if len(set(tokens)) < 2:
        raise ValueError("an exponent needs at least two numbers of vision tokens")
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How one method's phase grows with the dense model's vision tokens."""

    label: str
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]  # medians
    exponent: float
    predicted: float  # exponent of the FLOPs, causal half


def growth(entries: Sequence[BenchEntry], phase: str) -> tuple[Growth, ...]:
    """One per method that was measured on at least three images."""
    found: dict[str, list[tuple[int, PhaseTiming]]] = {}
    for entry in entries:
        timing = entry.timing(phase)
        if timing is not None:
            found.setdefault(entry.label, []).append((entry.dense_vision_tokens, timing))
    grown = []
    for label, points in found.items():
        if len(points) < 3:
            continue
        points.sort(key=lambda point: point[0])
        tokens = tuple(count for count, _ in points)
        seconds = tuple(median(timing.seconds).estimate for _, timing in points)
        flops = [timing.flops_causal for _, timing in points]
        grown.append(
            Growth(
                label=label,
                tokens=tokens,
                seconds=seconds,
                exponent=growth_exponent(tokens, seconds),
                predicted=growth_exponent(tokens, flops),
            )
        )
    return tuple(grown)


def _draws(rounds: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, rounds, (RESAMPLES, rounds))
