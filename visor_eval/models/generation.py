"""From the prefill's logits to answers: greedy or sampled, every row to its own end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from visor_eval.models.decoder import Decoding, SparseDecoder


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn; temperature 0 takes the likeliest (the lowest id among equals)."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject values without a meaning."""
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"temperature must be >= 0 and top_p in (0, 1], got {self.temperature} and {self.top_p}")


GREEDY = Sampling()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When one row ends, besides its end token."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()


def generate(
    decoder: SparseDecoder,
    state: Decoding,
    limits: Sequence[Limits],
    *,
    end_tokens: frozenset[int],
    decode_text: Callable[[Sequence[int]], str],
    sampling: Sampling = GREEDY,
) -> list[tuple[int, ...]]:
    """Extend every row until an end token (kept as its last), a stop string or its limit.

    Rows that have ended keep running beside the others; their further tokens are thrown away.
    """
    generator = torch.Generator(device=state.logits.device).manual_seed(sampling.seed)
    rows: list[list[int]] = [[] for _ in limits]
    running = [limit.max_new_tokens > 0 for limit in limits]
    while any(running):
        tokens = _pick(state.logits, sampling, generator)
        for row, token in enumerate(tokens.tolist()):
            if not running[row]:
                continue
            rows[row].append(token)
            running[row] = not (
                token in end_tokens
                or len(rows[row]) >= limits[row].max_new_tokens
                or _stopped(rows[row], limits[row].stop, decode_text)
            )
        if any(running):
            state = decoder.decode(tokens, state)
    return [tuple(row) for row in rows]


def until_stop(text: str, stop: Sequence[str]) -> str:
    """``text`` up to the first of the ``stop`` strings."""
    return text[: min([len(text), *(text.find(mark) for mark in stop if mark in text)])]


def _stopped(tokens: Sequence[int], stop: Sequence[str], decode_text: Callable[[Sequence[int]], str]) -> bool:
    if not stop:
        return False
    text = decode_text(tokens)
    return any(mark in text for mark in stop)


def _pick(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """[batch, vocab] -> token ids [batch]."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    ordered, index = probabilities.sort(dim=-1, descending=True)
    ordered[ordered.cumsum(dim=-1) - ordered >= sampling.top_p] = 0.0  # the first token always stays
    return index.gather(1, torch.multinomial(ordered, 1, generator=generator)).squeeze(1)
