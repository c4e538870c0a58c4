"""C8: vision features change more on hard tasks."""

from collections.abc import Sequence
from dataclasses import replace

from visor_eval.analysis.cka import summarise_cka
from visor_eval.analysis.claims.claim import Claim, Entry, Finding, Numbers, Unit, significant, undecided
from visor_eval.records.cka import CkaRun

COUNTED = ("dense", "visor")
BELOW = "below 0, and so its interval"


def similarity(runs: Sequence[CkaRun]) -> Claim:
    """C8: CKA of the first and the last vision state is lower on hard than on easy.

    Args:
        runs: one of each model that was measured.
    """
    claim = Claim(
        name="C8",
        title="vision features change more on hard tasks",
        expected="CKA between the first and the last vision state is lower on hard than on easy (difference of group "
        "means, interval below 0), for the dense model and for VISOR with its "
        "router. First: what layer 1 leaves, as `visor-eval cka` prints it. Beside it the other reading, in which the "
        "first state is what enters the decoder.",
    )
    by_model = {run.run.model: run for run in runs}
    findings: list[Finding] = []
    beside: list[Finding] = []
    rows: list[tuple[Entry, ...]] = []
    for model in COUNTED:
        asked = f"{model}: CKA of first and last state, hard less easy"
        if model not in by_model:
            findings.append(undecided(asked, BELOW, "not measured"))
            continue
        run = by_model[model]
        report = summarise_cka(run.samples, tasks=run.run.tasks)
        if report.difference is None:
            findings.append(undecided(asked, BELOW, "easy and hard are both needed"))
            continue
        findings.append(significant(asked, report.difference.first[-1], unit=Unit.SIMILARITY, sign=-1))
        entered = f"{model}: CKA of what enters the decoder and of the last state, hard less easy"
        beside.append(significant(entered, report.difference.entered[-1], unit=Unit.SIMILARITY, sign=-1))
        for group in report.groups:
            ends = float(group.matrix.mean[0, -1])
            rows.append((model, group.name, group.samples, group.consecutive[0], group.first[-1], ends))
    missing = "" if by_model else "CKA was not measured"
    table = Numbers(
        title="CKA of vision states",
        caption="Plain means over tasks; intervals resample images. Below 1: the features have changed.",
        columns=(
            ("model", Unit.TEXT),
            ("group", Unit.TEXT),
            ("samples", Unit.COUNT),
            ("before and after layer 1", Unit.SIMILARITY),
            ("layer 1 and last layer", Unit.SIMILARITY),
            ("input and last layer", Unit.SIMILARITY),
        ),
        rows=tuple(rows),
    )
    shown = (table,) if rows else ()
    return replace(claim, findings=tuple(findings), beside=tuple(beside), tables=shown, missing=missing)
