"""The whole recipe in small: one easy and one hard task learnt above chance, from scratch."""

from collections import Counter, defaultdict

import pytest
import torch

from visor_eval.training import recipes, stages
from visor_eval.training.attention import AttentionRecipe
from visor_eval.training.curriculum import Phase
from visor_eval.training.encoder import EncoderRecipe
from visor_eval.training.evaluate import evaluate, evaluation_batches
from visor_eval.training.family import FamilyShape
from visor_eval.training.initialise import add_visor
from visor_eval.training.loop import Member, train
from visor_eval.training.neighbours import NeighbourRecipe
from visor_eval.training.packed import PackedModel, StepPlan
from visor_eval.training.state import load_state
from visor_tasks.mini import stream_item

TASKS = ("textvqa_val", "ocrbench")


def blind_accuracy(task):
    """What the majority answer of each kind of question scores on dev."""
    seen = defaultdict(Counter)
    for index in range(200):
        for question in stream_item("train", task, 9, index).questions:
            seen[question.template][question.answers[0]] += 1
    asked = [question for index in range(60) for question in stream_item("dev", task, 0, index).questions]
    right = sum(seen[each.template].most_common(1)[0][0] == each.answers[0] for each in asked if seen[each.template])
    return right / len(asked)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_easy_and_a_hard_task_are_learnt(tmp_path):
    torch.set_num_threads(1)
    stages.foundation(
        tmp_path,
        EncoderRecipe(pretrain_steps=400, align_steps=150, images=16),
        AttentionRecipe(steps=200),
        NeighbourRecipe(steps=400),
        FamilyShape(layers=8),
        tasks=TASKS,
    )
    model, processor = stages.load_foundation(tmp_path)
    member = Member(model, add_visor(model))
    recipe = recipes.universal(steps=1200, images=12, phases=(Phase(),), decay_share=0.4, kept=())
    training, dev = stages.streams(processor, recipe, TASKS)
    train(member, recipe, training, None, tmp_path / "universal")
    load_state(tmp_path / "universal" / "state.safetensors", member.parameters())
    config = member.visor.config
    plan = StepPlan.sparse(config.largest, config.read_layers)
    found = evaluate(PackedModel(model, member.visor), evaluation_batches(dev, 60), {"largest": plan})["largest"]
    for task in TASKS:
        tally = found[task]
        chance = blind_accuracy(task)
        margin = 3 * (max(chance, 0.05) * (1 - chance) / tally.asked) ** 0.5
        assert tally.accuracy > chance + margin, f"{task}: {tally.accuracy:.2f}, chance {chance:.2f}"
