"""What each embedded member scores on shuffled images, written into its card: the level a score must exceed.

    python -m benchmarks.shuffled_scores                # every member whose card lacks it
    python -m benchmarks.shuffled_scores visor-tiny     # this one, again

After `visor-eval train export`, which writes cards anew; that room knows nothing of lmms-eval, so it cannot do this.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.claim_runs import Job, Shelf
from visor_eval.analysis.drawn import scores
from visor_eval.harness.chance import CARD_KEY
from visor_eval.harness.checkpoints import embedded_folder, embedded_names, read_card
from visor_eval.records import Run

OUTPUT = Path("build/shuffled")


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("members", nargs="*", choices=[[], *embedded_names()])
    os.environ.setdefault("LOGURU_AUTOINIT", "0")  # lmms-eval speaks through loguru, which then has no sink
    named = parser.parse_args().members
    shelf = Shelf(output=OUTPUT)
    for member in named or [name for name in embedded_names() if CARD_KEY not in read_card(name)]:
        job = Job(model=str(read_card(member)["method"]), pretrained=member, shuffled=True)
        found = shelf.take(job, running=True)
        if not isinstance(found, Run):
            sys.exit(f"{member}: {shelf.why(job)}")
        card = {**read_card(member), CARD_KEY: _rounded(found)}
        (embedded_folder() / member / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{member}: {card[CARD_KEY]}\n")


def _rounded(run: Run) -> dict[str, float]:
    return {task: round(drawn.estimate, 2) for task, drawn in sorted(scores(run.samples).tasks.items())}


if __name__ == "__main__":
    main()
