"""What a search for viable configurations found, as plain text of at most 100 columns."""

from collections.abc import Sequence
from statistics import fmean as mean
from textwrap import wrap

from visor_eval.analysis.viable import Ranked, Search
from visor_eval.records import SweepSample
from visor_reports.terminal import ruled

SHOWN = 12


def search_table(found: Search) -> str:
    """The best and the worst configurations, the observations, the proposed list."""
    headers = ["configuration", "relative", *(f"mean {group}" for group in found.groups)]

    def row(ranked: Ranked) -> list[str]:
        means = [mean(ranked.accuracy[task] for task in tasks) for tasks in found.groups.values()]
        return [_name(ranked.configuration), f"{ranked.relative:.1f}", *(f"{value:.1f}" for value in means)]

    best, worst = found.ranked[:SHOWN], found.ranked[max(SHOWN, len(found.ranked) - 3) :]
    blocks = [
        f"{len(found.ranked)} configurations on {found.samples} samples, best first. Whole answers in %;",
        "relative: mean over tasks of accuracy / the task's best (figure S1)",
        ruled(headers, [row(each) for each in best], [row(each) for each in worst]),
        "",
        "differences in points of accuracy, 95 % bootstrap interval over samples",
    ]
    for observation in found.observations:
        blocks.append(f"{observation.name}: {observation.meaning}")
        for group, value in observation.values.items():
            verdict = "" if value.excludes(0.0) else "   not distinguishable from 0"
            blocks.append(f"  {group:<6} {value.estimate:+6.1f}  [{value.low:+.1f}, {value.high:+.1f}]{verdict}")
    blocks += ["", *wrap(f"proposed ({len(found.proposed)}): " + "  ".join(map(_name, found.proposed)), 100)]
    return "\n".join(blocks)


def matches_table(samples: Sequence[SweepSample]) -> str:
    """Of a sweep without answers: how often each configuration produces a whole reference, and how far it follows."""
    rows = []
    for index, result in enumerate(samples[0].results):
        found = [sample.results[index] for sample in samples]
        whole = 100.0 * sum(each.complete for each in found) / len(found)
        matched = sum(each.matched for each in found) / len(found)
        rows.append([_name(result.configuration), f"{whole:.1f}", f"{matched:.2f}"])
    return ruled(["configuration", "whole answers %", "tokens matched"], rows, [])


def _name(configuration: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, configuration)) + "]"
