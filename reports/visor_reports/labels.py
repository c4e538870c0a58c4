"""Router labels as plain text of at most 100 columns."""

from collections import Counter

from visor_eval.records.pseudo_labels import PER_DATASET, PseudoLabels
from visor_reports.terminal import ruled


def labels_table(labels: PseudoLabels) -> str:
    """Per task: the label, its score and the full model's; or how often each configuration is a sample's label."""
    places = {configuration: index for index, configuration in enumerate(labels.configurations)}
    if labels.rule == PER_DATASET:
        rows = []
        for task, label in labels.by_task.items():
            scores = labels.scores[task]
            full, own = scores[places[labels.full]], scores[places[label]]
            rows.append(
                [task, str(labels.samples[task]), name(label), f"{own:.1f}", f"{full:.1f}", f"{max(scores):.1f}"]
            )
        headers = [
            "task",
            "samples",
            f"cheapest >= {labels.target:.0%}",
            "its score",
            f"full {name(labels.full)}",
            "best",
        ]
        return ruled(headers, rows, [])
    counts = Counter(labels.by_sample.values())
    total = sum(counts.values())
    rows = [[name(each), str(counts[each]), f"{100 * counts[each] / total:.1f}"] for each in labels.configurations]
    return ruled(["label: cheapest with the full model's score", "samples", "%"], rows, [["all", str(total), "100.0"]])


def name(configuration: tuple[int, ...]) -> str:
    """[1,4] and the like."""
    return "[" + ",".join(map(str, configuration)) + "]"
