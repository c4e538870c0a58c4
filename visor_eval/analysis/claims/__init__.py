"""The paper's claims as questions asked of records: what is expected, what was measured, what follows."""

from visor_eval.analysis.claims.choice import oracle, router
from visor_eval.analysis.claims.claim import Claim, Finding, Numbers, Unit, Verdict
from visor_eval.analysis.claims.depth import cross_attention, few_layers, first_layer, more_layers
from visor_eval.analysis.claims.quality import quality
from visor_eval.analysis.claims.reduction import Contender, composition, headline, reducers
from visor_eval.analysis.claims.similarity import similarity
from visor_eval.analysis.claims.swept import Swept

__all__ = [
    "Claim",
    "Contender",
    "Finding",
    "Numbers",
    "Swept",
    "Unit",
    "Verdict",
    "composition",
    "cross_attention",
    "few_layers",
    "first_layer",
    "headline",
    "more_layers",
    "oracle",
    "quality",
    "reducers",
    "router",
    "similarity",
]
