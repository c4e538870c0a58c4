"""A third party's methods: an engine that answers from a table, and a part that does nothing."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from visor_eval.models.engine import Answer
from visor_eval.records import CostRecord, Flops

STOP_AFTER: int | None = None  # for tests of resuming: the engine is interrupted after so many samples
GUESSES = ("yes", "no", "A", "B", "7", "red")


def cost(vision_tokens: int = 98) -> CostRecord:
    """A plausible cost."""
    return CostRecord(
        vision_tokens=vision_tokens,
        text_tokens=12,
        generated_tokens=2,
        tiles=2,
        configuration=(1, 4),
        self_attention_layers=2.0,
        prefill=Flops(attention=100, attention_causal=50),
        decode=Flops(mlp=10),
        dense_vision_tokens=vision_tokens,
        dense_prefill=Flops(attention=1200, attention_causal=600),
        dense_decode=Flops(mlp=10),
        nominal=98.0,
        nominal_dense=1176.0,
        kv_cache_bytes=10,
        kv_cache_bytes_dense=120,
    )


def fingerprint(images, prompt) -> str:
    """What the table is keyed by."""
    digest = hashlib.sha256(prompt.encode())
    for image in images:
        digest.update(f"{image.width}x{image.height}".encode() + image.tobytes())
    return digest.hexdigest()


@dataclass
class FakeEngine:
    """Answers from ``answers`` (fingerprint -> text), else guesses from the request alone."""

    answers: dict[str, str] = field(default_factory=dict)
    log: Path | None = None  # one line per answered sample
    delay_s: float = 0.0  # per batch
    stop_after: int | None = None  # raise KeyboardInterrupt once this many samples were answered
    calls: list[int] = field(default_factory=list)  # batch sizes
    parts: tuple = ()

    def answer(self, requests):
        """One batch."""
        time.sleep(self.delay_s)
        if self.stop_after is not None and sum(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(len(requests))
        keys = [fingerprint(request.images, request.prompt) for request in requests]
        if self.log is not None:
            with self.log.open("a") as file:
                file.writelines(f"{key}\n" for key in keys)
        return [
            Answer(text=self.answers.get(key, GUESSES[int(key[:8], 16) % len(GUESSES)]), token_ids=(1, 2), cost=cost())
            for key in keys
        ]


def fake(request, *, table=None, log=None, delay_s=0.0):
    """Build the engine; ``table`` is a JSON file of answers."""
    answers = json.loads(Path(table).read_text()) if table else {}
    log = None if log is None else Path(log)
    return FakeEngine(answers, log=log, delay_s=delay_s, stop_after=STOP_AFTER, parts=request.parts)


class BrokenEngine:
    """A model that fails."""

    def answer(self, requests):
        """Never answers."""
        raise RuntimeError("shapes differ")


def broken(request):
    """Build it."""
    return BrokenEngine()


@dataclass(frozen=True)
class FakePart:
    """A reducer."""

    keep: int = 4

    def reduce(self, tokens):
        """Everything stays."""
        return tokens
