"""The training loop: resumable to the bit, deterministic batches, training data only."""

import pytest
import torch

from visor_eval.records.pseudo_labels import cheapest_equal, cheapest_reaching
from visor_eval.training import recipes
from visor_eval.training.curriculum import Phase
from visor_eval.training.evaluate import evaluation_batches, row_hits
from visor_eval.training.labels import LabelSet, cell_labels
from visor_eval.training.loop import Member, plan_of, task_weights, train
from visor_eval.training.packed import IGNORED, StepPlan
from visor_eval.training.recipes import RouterRecipe
from visor_eval.training.router import router_stream, routing_logits
from visor_eval.training.stream import QuestionTokens, Stream
from visor_tasks.mini import stream_item

TASKS = ("gqa", "docvqa_val")
SHORT = {"images": 2, "questions": 2, "compiled": False, "bfloat16": False, "warmup_steps": 2, "save_every": 2}


def stream_of(tokenizer, split="train", tasks=TASKS, seed=0):
    return Stream(QuestionTokens(tokenizer), tasks, split, seed, images=2, questions=2)


def test_resumed_equals_uninterrupted(tokenizer, model, visor, tmp_path):
    recipe = recipes.universal(steps=4, **SHORT)
    start = {name: value.detach().clone() for name, value in Member(model, visor).parameters().items()}
    train(Member(model, visor), recipe, stream_of(tokenizer), None, tmp_path / "whole")
    whole = {name: value.detach().clone() for name, value in Member(model, visor).parameters().items()}
    assert any(not torch.equal(whole[name], start[name]) for name in whole)

    def reset():
        with torch.no_grad():
            for name, value in Member(model, visor).parameters().items():
                value.copy_(start[name])

    class Killed(Exception):
        pass

    class Stops(Stream):
        def batch(self, step, *rest):
            if step == 2:
                raise Killed
            return super().batch(step, *rest)

    reset()
    with pytest.raises(Killed):
        train(
            Member(model, visor),
            recipe,
            Stops(QuestionTokens(tokenizer), TASKS, "train", 0, 2, 2),
            None,
            tmp_path / "cut",
        )
    reset()
    progress = train(Member(model, visor), recipe, stream_of(tokenizer), None, tmp_path / "cut")
    assert progress.step == 4
    for name, value in Member(model, visor).parameters().items():
        assert torch.equal(value, whole[name]), name


def test_a_resumed_curve_holds_every_step_once(tokenizer, model, visor, tmp_path):
    short = {**SHORT, "save_every": 2, "report_every": 1}
    whole = tmp_path / "curve.csv"
    train(Member(model, visor), recipes.universal(steps=2, **short), stream_of(tokenizer), None, tmp_path)
    with whole.open("a") as stream:  # what a run that was killed between checkpoints leaves
        stream.write(whole.read_text().splitlines()[-1].replace("2,", "3,", 1) + "\n")
    train(Member(model, visor), recipes.universal(steps=4, **short), stream_of(tokenizer), None, tmp_path)
    assert [line.split(",")[0] for line in whole.read_text().splitlines()] == ["step", "1", "2", "3", "4"]


def test_batches_depend_on_seed_and_step_only(tokenizer):
    first, second = stream_of(tokenizer), stream_of(tokenizer)
    second.batch(7)
    assert torch.equal(first.batch(3).packed.tokens, second.batch(3).packed.tokens)
    assert torch.equal(first.batch(3).packed.pixels, second.batch(3).packed.pixels)
    hashes = [{item.scene_hash for item in first.batch(step).items} for step in (3, 4)]
    assert not hashes[0] & hashes[1]


def test_the_router_never_sees_evaluation_or_language_training_scenes(tokenizer):
    slice_ = router_stream(QuestionTokens(tokenizer), TASKS, RouterRecipe(images=4))
    assert slice_.split == "train"
    labelled = {item.scene_hash for batch in evaluation_batches(slice_, 60) for item in batch.items}
    labelled |= {item.scene_hash for step in range(40) for item in slice_.batch(step).items}
    others = {
        stream_item(split, task, 0, index).scene_hash
        for split in ("dev", "test")
        for task in TASKS
        for index in range(150)
    }
    training = stream_of(tokenizer)
    others |= {item.scene_hash for step in range(40) for item in training.batch(step).items}
    assert len(labelled) > 100
    assert not labelled & others


def test_labels_and_hits(tokenizer):
    batch = stream_of(tokenizer, tasks=("gqa",)).batch(0)
    rows = [question for question in batch.questions if question]
    assert rows
    labels = batch.packed.labels.flatten(0, 1)
    ends = tokenizer.eos_token_id
    for question, row in zip(batch.questions, labels, strict=True):
        due = row[row != IGNORED].tolist()
        expected = [*tokenizer.encode(question.answers[0], add_special_tokens=False), ends] if question else []
        assert due == expected
    due = labels[labels != IGNORED]
    perfect = torch.nn.functional.one_hot(due, len(tokenizer)).float()
    assert all(hit in (True, None) for hit in row_hits(batch.packed.labels, perfect, due))
    wrong = perfect.clone()
    wrong[0] = 0
    wrong[0, 0] = 1.0
    assert row_hits(batch.packed.labels, wrong, due).count(False) == 1


def test_cell_labels_follow_the_tiles():
    item = stream_item("train", "docvqa_val", 0, 0)
    labels = LabelSet.default()
    found = cell_labels([item], labels)[0]
    rows, columns = item.image.shape[0] // 56, item.image.shape[1] // 56
    assert found.shape == (1 + rows * columns, 49, len(labels.words))
    (row, column), words = next(iter(item.cells.items()))
    patch = found[1 + row // 7 * columns + column // 7, row % 7 * 7 + column % 7]
    assert {labels.words[place] for place in patch.nonzero().flatten()} == set(words)
    torch.testing.assert_close(found[0].sum() * rows * columns, found[1:].sum())


def test_plans_are_drawn_in_their_shares(model, visor):
    recipe = recipes.universal(steps=1)
    drawn = [plan_of(recipe, step, Member(model, visor)) for step in range(2000)]
    dense = sum(plan == StepPlan.dense(6) for plan in drawn) / 2000
    cross_only = sum(not plan.full for plan in drawn) / 2000
    assert abs(dense - recipe.dense_share) < 0.02
    assert abs(cross_only - recipe.cross_only_share) < 0.02


def test_phases_set_the_mixture():
    phases = (Phase(until=100, weights=(("gqa", 1.0),), others=0.1, adaptive=False), Phase())
    recipe = recipes.universal(steps=1000, phases=phases)
    assert task_weights(recipe, TASKS, {"gqa": 1.0}, 99) == {"gqa": 1.0, "docvqa_val": 0.1}
    later = task_weights(recipe, TASKS, {"gqa": 1.0}, 100)
    assert later["docvqa_val"] > later["gqa"] > 0


def test_a_shortened_recipe_keeps_its_proportions():
    whole = recipes.universal()
    short = whole.of_length(whole.steps // 10)
    for share in (0.02, 0.2, 0.35, 0.42, 0.45, 0.55, 0.65, 0.9):
        long, brief = int(share * whole.steps), int(share * short.steps)
        assert whole.phase_at(long).weights == short.phase_at(brief).weights
        assert share < 0.1 or whole.lr_at(long) == pytest.approx(short.lr_at(brief))  # warm-up is not shortened


def test_a_phase_leaves_templates_out_where_an_image_has_others(tokenizer):
    phase = Phase(two_hop=False, skipped=("value_of_word", "color"))
    stream = Stream(QuestionTokens(tokenizer), TASKS, "train", 0, images=4, questions=6)
    free, bound = (({"gqa": 1.0, "docvqa_val": 1.0}, keep) for keep in (None, phase.asks))
    asked = [
        [question for step in range(30) for question in stream.batch(step, *each).questions if question]
        for each in (free, bound)
    ]
    kinds = [{question.template for question in questions} for questions in asked]
    assert {"value_of_word", "color", "pointer_2hop"} <= kinds[0]
    assert not {"value_of_word", "color", "pointer_2hop"} & kinds[1]
    assert len(asked[1]) > 0.8 * len(asked[0])  # more questions are drawn, so that few rows stay empty


def test_cheapest_configuration_within_the_target():
    assert cheapest_reaching([0.5, 0.98, 0.99, 1.0], full=3, target=0.99) == 2
    assert cheapest_reaching([0.0, 0.0], full=1, target=0.99) == 0
    assert cheapest_equal([0.0, 1.0, 0.5, 0.5], full=3) == 2
    assert cheapest_equal([1.0, 0.0], full=1) == 1


def test_only_the_routing_token_and_its_head_learn(tokenizer, model, visor):
    from visor_eval.training.packed import PackedModel
    from visor_eval.visor.config import VisorConfig
    from visor_eval.visor.modules import VisorModules

    config = VisorConfig(candidates=(1, 4), read_layers=(2, 5), configurations=((1,), (1, 4)), router=True)
    modules = VisorModules(config, model.config.text_config)
    batch = stream_of(tokenizer, tasks=("gqa",)).batch(0)
    logits = routing_logits(PackedModel(model, modules), batch, QuestionTokens(tokenizer))
    assert logits.shape == (len(batch.questions), 2)
    logits.sum().backward()
    assert modules.router.token.grad.abs().sum() > 0
