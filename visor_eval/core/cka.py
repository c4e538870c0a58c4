"""Linear centred kernel alignment (CKA) between all pairs of states of the same tokens.

Formula S1 of the VISOR supplement (Cortes et al., JMLR 2012) is written with Gram matrices, tokens x tokens for every
state and pair. Its value needs none of them whole: with centred features X and Y, <K, L> = ||X^T Y||_F^2. Products are
therefore accumulated block by block, for all pairs at once, in float64, in whichever space takes fewer operations:

- token space: one block of all states' Gram matrices at a time; a Gram matrix is formed once for all its pairs, and
  only above the diagonal. About tokens^2 x dim operations per state.
- feature space: one block of cross-covariances at a time, streaming over tokens. About 2 x tokens x dim^2 operations
  per *pair*; so with many states it wins only above some states x dim tokens, not above dim tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Space = Literal["token", "feature"]
WORKING_BYTES = 16 << 20  # of one block of products
ROUNDING = 1e-12  # a state whose features vary less than this, relative to their mean, does not vary
TOKENS_AT_ONCE = 384  # in feature space


@dataclass(frozen=True)
class KernelProducts:
    """What CKA needs of the centred Gram matrices K_s = (H X_s)(H X_s)^T of some states; all float64."""

    inner: Tensor  # <K_s, K_t> [states, states]
    diagonals: Tensor  # sum over tokens of K_s[i, i] K_t[i, i] [states, states]
    traces: Tensor  # trace of K_s [states]; 0 for a state that does not vary over its tokens
    tokens: int

    def hsic(self, *, unbiased: bool = False) -> Tensor:
        """Hilbert-Schmidt independence criterion of every pair [states, states].

        Args:
            unbiased: HSIC_1 (Song et al., JMLR 2012, equation 5) instead of <K_s, K_t>. It uses Gram matrices with a
                zeroed diagonal and is invariant to centring; for centred ones their row sums are minus the diagonal,
                so that every term follows from ``inner``, ``diagonals`` and ``traces``.

        Raises:
            ValueError: ``unbiased`` with fewer than 4 tokens.
        """
        if not unbiased:
            return self.inner
        n = self.tokens
        if n < 4:
            raise ValueError(f"unbiased CKA needs at least 4 tokens, got {n}")
        sums = self.traces[:, None] * self.traces
        return (self.inner - self.diagonals + sums / ((n - 1) * (n - 2)) - self.diagonals * (2 / (n - 2))) / (
            n * (n - 3)
        )

    def cka(self, *, unbiased: bool = False) -> Tensor:
        """CKA of every pair [states, states]: 1 on the diagonal, NaN where a state does not vary over its tokens.

        ``unbiased`` may leave 0..1 a little, and is NaN where HSIC_1 of a state with itself is not positive.
        """
        hsic = self.hsic(unbiased=unbiased)
        norms = hsic.diagonal().clone()
        norms[(norms <= 0) | (self.traces == 0)] = torch.nan
        similarity = hsic / (norms[:, None] * norms).sqrt()
        return similarity.fill_diagonal_(1.0).masked_fill(norms.isnan()[:, None] | norms.isnan(), torch.nan)


def cka(states: Sequence[Tensor], *, unbiased: bool = False, space: Space | None = None) -> Tensor:
    """Linear CKA between all pairs of ``states``, float64 [states, states].

    Args:
        states: the same tokens' features in several places, each [tokens, dim]; only read.
        unbiased: HSIC_1 in place of the biased inner products; needs 4 tokens.
        space: where products are formed; None: where that takes fewer operations.

    Raises:
        ValueError: no state, states of different shapes, or too few tokens.
    """
    return kernel_products(states, space=space).cka(unbiased=unbiased)


def kernel_products(states: Sequence[Tensor], *, space: Space | None = None) -> KernelProducts:
    """Everything that CKA needs of ``states``, accumulated in float64; arguments and errors as for ``cka``."""
    if not states or any(state.ndim != 2 or state.shape != states[0].shape for state in states):
        raise ValueError(f"states must all be [tokens, dim] of one shape, got {[tuple(s.shape) for s in states]}")
    tokens, dim = states[0].shape
    if tokens < 2:
        raise ValueError(f"CKA compares tokens: at least 2 are needed, got {tokens}")
    centred = _Centred(states)
    in_tokens = (space or smaller_space(len(states), tokens, dim)) == "token"
    products = _in_token_space(centred, tokens) if in_tokens else _in_feature_space(centred, tokens, dim)
    products.traces[products.traces <= tokens * ROUNDING**2 * centred.squared_means()] = 0
    return products


def smaller_space(states: int, tokens: int, dim: int) -> Space:
    """Where all pairs of ``states`` take fewer operations."""
    in_tokens = states * tokens**2 * dim + states**2 * tokens**2
    in_features = states * (states + 1) * tokens * dim**2
    return "token" if in_tokens <= in_features else "feature"


def cka_by_definition(x: Tensor, y: Tensor) -> Tensor:
    """Formula S1 as it is written, with whole Gram matrices, in the dtype of ``x`` and ``y`` [tokens, dim].

    For checks and comparisons: 4 x tokens^2 x dim operations and two Gram matrices for a single pair.
    """
    k, l = _centred_gram(x), _centred_gram(y)  # noqa: E741 - the paper's letters
    return torch.vdot(k.view(-1), l.view(-1)) / (k.norm() * l.norm())


def _centred_gram(features: Tensor) -> Tensor:
    """H K H with K = X X^T: rows and columns less their means, in place."""
    gram = features @ features.T
    means = gram.mean(dim=0)
    overall = means.mean()
    return gram.sub_(means).sub_(means[:, None]).add_(overall)


class _Centred:
    """Blocks of centred float64 features, made when asked for: a whole copy would be larger than all products."""

    def __init__(self, states: Sequence[Tensor]) -> None:
        self._states = states
        self._means = [_mean(state) for state in states]

    def __len__(self) -> int:
        return len(self._states)

    def squared_means(self) -> Tensor:
        """Squared length of each state's mean [states]."""
        return torch.stack([mean.square().sum() for mean in self._means])

    def block(self, state: int, tokens: slice) -> Tensor:
        """Some tokens of one state [tokens, dim]."""
        return self._states[state][tokens].double() - self._means[state]

    def blocks(self, states: range, tokens: slice) -> Tensor:
        """Some tokens of several states side by side [tokens, states * dim]."""
        return torch.cat([self.block(state, tokens) for state in states], dim=1)


def _mean(state: Tensor) -> Tensor:
    """Mean over tokens in float64 [dim]."""
    total = sum(state[tokens].double().sum(dim=0) for tokens in _slices(len(state), TOKENS_AT_ONCE))
    return total / len(state)  # type: ignore[return-value]


def _in_token_space(centred: _Centred, tokens: int) -> KernelProducts:
    states, device = len(centred), centred.block(0, slice(0, 1)).device
    side = min(tokens, max(32, int((WORKING_BYTES / (8 * states)) ** 0.5)))
    room = torch.empty(states * side * side, dtype=torch.float64, device=device)
    inner = torch.zeros(states, states, dtype=torch.float64, device=device)
    diagonals, traces = torch.zeros_like(inner), torch.zeros_like(inner[0])
    for rows in _slices(tokens, side):
        for columns in _slices(tokens, side, start=rows.start):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            grams = room[: states * height * width].view(states, height, width)
            for state in range(states):
                left = centred.block(state, rows)
                right = left if rows == columns else centred.block(state, columns)
                torch.mm(left, right.T, out=grams[state])
            flat = grams.view(states, -1)
            if rows == columns:
                inner += flat @ flat.T
                norms = grams.diagonal(dim1=1, dim2=2)
                diagonals += norms @ norms.T
                traces += norms.sum(dim=1)
            else:
                inner += 2 * (flat @ flat.T)  # the block below the diagonal holds the same numbers
    return KernelProducts(inner, diagonals, traces, tokens)


def _in_feature_space(centred: _Centred, tokens: int, dim: int) -> KernelProducts:
    states, device = len(centred), centred.block(0, slice(0, 1)).device
    inner = torch.zeros(states, states, dtype=torch.float64, device=device)
    diagonals, traces = torch.zeros_like(inner), torch.zeros_like(inner[0])
    for part in _slices(tokens, TOKENS_AT_ONCE):
        norms = torch.stack([centred.block(state, part).square().sum(dim=1) for state in range(states)])
        diagonals += norms @ norms.T
        traces += norms.sum(dim=1)
    at_once = max(1, int((WORKING_BYTES / 8) ** 0.5) // dim)
    groups = [range(piece.start, piece.stop) for piece in _slices(states, at_once)]
    for number, left in enumerate(groups):
        for right in groups[number:]:
            covariance = torch.zeros(len(left) * dim, len(right) * dim, dtype=torch.float64, device=device)
            for part in _slices(tokens, TOKENS_AT_ONCE):
                first = centred.blocks(left, part)
                covariance.addmm_(first.T, first if left == right else centred.blocks(right, part))
            squares = covariance.square_().view(len(left), dim, len(right), dim).sum(dim=(1, 3))
            inner[left.start : left.stop, right.start : right.stop] = squares
            inner[right.start : right.stop, left.start : left.stop] = squares.T
    return KernelProducts(inner, diagonals, traces, tokens)


def _slices(length: int, size: int, start: int = 0) -> Iterator[slice]:
    for begin in range(start, length, size):
        yield slice(begin, min(begin + size, length))
