"""One answered and scored sample."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from visor_eval.records.cost_record import CostRecord
from visor_eval.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class SampleRecord(Record):
    """What one model answered to one question, how that was scored and what it cost."""

    SCHEMA_VERSION: ClassVar[int] = 1

    run_id: str  # of the RunRecord this sample belongs to
    task: str  # task name as lmms-eval knows it, e.g. "mme" or "visor_mini_mme"
    group: str  # "easy", "hard" or another group's name
    doc_id: str  # lmms-eval's document index within the task, as text
    unit: str  # resampling unit: samples with the same (stratum, unit) are drawn together (MME: question id)
    stratum: str | None  # category within which units are resampled (MME category, MMStar l2_category), or None
    score: float  # contribution of this sample, 0..1
    metrics: Mapping[str, object]  # what lmms-eval's process_results returned, JSON values
    prompt: str  # user turn without chat template and image placeholders
    answer: str  # generated text, special tokens removed, before lmms-eval's filters
    references: tuple[str, ...]  # accepted answers
    template: str | None  # question template or type (mini suite), for the image-blind chance level; None: unknown
    image_hashes: tuple[str, ...]  # SHA-256 (hex) of the decoded RGB pixels, size included, one per image
    request_hash: str  # identifies the request in the journal
    cost: CostRecord | None  # None: unknown (imported logs)
    schema_version: int = field(default=SCHEMA_VERSION)

    def __post_init__(self) -> None:
        """Reject scores outside 0..1."""
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must lie in 0..1, got {self.score} ({self.task} {self.doc_id})")
