"""`visor-eval ask`: one image, one question."""

import argparse
from pathlib import Path

from visor_eval.commands.console import say
from visor_eval.commands.flags import Verbs, add_model_flags, flag
from visor_eval.commands.requests import read_model_args


def add(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add_parser("ask", help="one image, one question: answer, configuration, cost")
    parser.add_argument("image", type=Path)
    parser.add_argument("question")
    flag(parser, "--max_new_tokens", type=int, default=64)
    add_model_flags(parser, default="visor", several=False)
    parser.set_defaults(action=action)


def action(options: argparse.Namespace) -> int:
    """Answer, and say what it cost."""
    from visor_eval.harness.asking import ask

    given = read_model_args(options)
    answer = ask(
        given.image,
        given.question,
        model=given.model,
        pretrained=given.pretrained,
        config=given.config,
        device=given.device,
        dtype=given.dtype,
        max_new_tokens=given.max_new_tokens,
        model_args=given.model_args,
    )
    cost = answer.cost
    configuration = "every layer" if cost.configuration is None else f"layers {list(cost.configuration)}"
    saving = cost.dense_total() / cost.total()
    say(answer.text)
    say(f"vision processed in: {configuration}")
    say(
        f"vision tokens {cost.vision_tokens}, text tokens {cost.text_tokens}, generated {cost.generated_tokens}; "
        f"prefill {cost.total() / 1e9:.3f} GFLOPs, dense {cost.dense_total() / 1e9:.3f} (saving {saving:.1f}x, exact)"
    )
    return 0
