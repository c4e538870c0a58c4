"""Stages go on from each other, branches share their batches, cards tell the whole lineage."""

import json
from dataclasses import replace

import pytest
import torch

from tests.training.conftest import TASKS, short
from visor_baselines.m3 import M3
from visor_eval.commands.train import Job, run
from visor_eval.errors import SetupError
from visor_eval.training import members, stages
from visor_eval.training.encoder import EncoderRecipe
from visor_eval.training.lines import LinesRecipe
from visor_eval.training.loop import plan_of
from visor_eval.training.members import FAMILY, export_family
from visor_eval.training.packed import PackedModel
from visor_eval.training.processes import Processes
from visor_eval.training.recipes import FOUNDATION, LANGUAGE, ROUTERS, branch
from visor_eval.training.state import STATE, state_name
from visor_eval.training.stream import QuestionTokens, Stream

QUICK = LinesRecipe(steps=1, images=2)


def test_every_stage_names_one_that_stands_before_it():
    known = [FOUNDATION]
    for name, recipe in LANGUAGE.items():
        assert recipe.name == name
        assert recipe.start in known
        assert recipe.start_step is None or recipe.start_step in LANGUAGE[recipe.start].kept
        known.append(name)
    assert {member.stage for member in FAMILY} <= set(LANGUAGE)
    assert {member.router for member in FAMILY} - {None} <= set(ROUTERS)


def test_branches_of_one_base_differ_in_the_method_only():
    rivals = [LANGUAGE[name] for name in ("dense", "m3", "vispruner", "vispruner-16x")]
    alike = {replace(recipe, name="", reducers=((),)) for recipe in rivals}
    assert len(alike) == 1
    packed = {replace(LANGUAGE[name], name="", packing=1.0) for name in ("visor", "visor-tr2", "visor-tr4")}
    assert len(packed) == 1


def test_half_of_the_data_is_half_of_the_steps():
    def steps_of(recipe):
        behind = recipe.start_step or (0 if recipe.start == FOUNDATION else steps_of(LANGUAGE[recipe.start]))
        return recipe.steps + behind

    assert 2 * steps_of(LANGUAGE["visor-half"]) == steps_of(LANGUAGE["visor"])


def test_a_branch_goes_on_from_the_state_it_names(work):
    base = short("base")
    stages.language(work, base, TASKS)
    member, _, state = stages.start(work, short("visor", start="base"))
    assert state == work / "base" / STATE
    trained, _, _ = stages.load_member(work, base)
    for name, value in member.parameters().items():
        assert torch.equal(value, trained.parameters()[name]), name
    half, _, state = stages.start(work, short("half-lines", start_step=1))
    assert state == work / "base" / state_name(1)
    assert any(not torch.equal(value, trained.parameters()[name]) for name, value in half.parameters().items())


def test_a_stage_that_has_begun_needs_no_other(work):
    stages.language(work, short("base"), TASKS)
    stages.language(work, short("visor", start="base"), TASKS)
    (work / "base" / STATE).unlink()
    assert stages.language(work, short("visor", start="base", steps=3), TASKS).step == 3


def test_a_family_has_lengths_of_its_own(work):
    job = Job(work=work, output=work, processes=Processes(torch.device("cpu")), steps=2)
    with pytest.raises(SetupError, match="leave it out"):
        run("family", job)


def test_a_stage_that_has_not_run_is_named(work):
    with pytest.raises(SetupError, match="visor-eval train lines"):
        stages.start(work, short("visor"))


def test_the_papers_conversion_starts_from_closed_gates(work):
    stages.language(work, short("base"), TASKS)
    stages.language(work, short("dense", start="base"), TASKS)
    member, _, _ = stages.start(work, short("visor-stage1", given_back=False))
    assert all(block.gate.item() == 0 for block in member.visor.blocks.values())


def test_only_blocks_learn_in_stage_1(work):
    stages.language(work, short("base"), TASKS)
    stages.language(work, short("dense", start="base"), TASKS)
    member, _, _ = stages.start(work, short("visor-stage1"))
    before = {name: value.clone() for name, value in member.parameters().items()}
    stages.language(work, short("visor-stage1"), TASKS)
    after, _, _ = stages.load_member(work, LANGUAGE["visor-stage1"])
    moved = {name for name, value in after.parameters().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("visor.blocks.") for name in moved)


def test_dagger_moves_the_projector_only(work):
    stages.language(work, short("base"), TASKS)
    stages.language(work, short("dense-base", start_step=None), TASKS)
    before, _, _ = stages.load_member(work, short("dense-base", start_step=None))
    stages.language(work, short("visionzip-dagger", start="dense-base"), TASKS)
    after, _, _ = stages.load_member(work, short("visionzip-dagger"))
    moved = {n for n, value in after.parameters().items() if not torch.equal(value, before.parameters()[n])}
    assert moved
    assert all("multi_modal_projector" in name for name in moved)


def test_reducers_are_drawn_per_step_and_shorten_the_vision_tokens(work, tokenizer):
    recipe = short("m3", start="base")
    stages.language(work, short("base"), TASKS)
    member, _, _ = stages.start(work, recipe)
    drawn = {plan_of(recipe, step, member).reduction.reducers for step in range(40)}
    assert drawn == {(), *((M3(factor=scale),) for scale in (4.0, 8.0, 16.0))}
    batch = Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, 2, 2).batch(0).packed
    packed = PackedModel(member.model)
    whole = packed.vision_tokens(batch).shape[1]
    for step in range(8):
        reduction = plan_of(recipe, step, member).reduction
        left = packed.vision_tokens(batch, reduction).shape[1]
        assert left < whole or not reduction.reducers


def test_token_packing_reaches_every_plan(work):
    stages.language(work, short("base"), TASKS)
    recipe = short("visor-tr2", start="base")
    member, _, _ = stages.start(work, recipe)
    plans = [plan_of(recipe, step, member) for step in range(30)] + list(member.plans([(1,)]).values())
    assert all(plan.reduction.reducers[0].factor == 2.0 for plan in plans)


def test_an_exported_member_tells_its_lineage_and_loads(work, tmp_path):
    from visor_eval.harness.registry import load_engine

    stages.language(work, short("base"), TASKS)
    half = LANGUAGE["half-lines"].start_step
    (work / "base" / state_name(1)).rename(work / "base" / state_name(half))
    stages.language(work, short("half-lines", start_step=half, lines=QUICK), TASKS)
    stages.language(work, short("visor-half", steps=1), TASKS)
    stages.router(work, LANGUAGE["visor-half"], replace(ROUTERS["router"], steps=1, label_images=1, images=2), TASKS)
    export_family(work, tmp_path / "out", dev_images=1, names=("visor-half-tiny",))
    card = json.loads((tmp_path / "out" / "visor-half-tiny" / "card.json").read_text())
    assert [stage["stage"] for stage in card["stages"]] == ["foundation", "base", "half-lines", "visor-half"]
    assert [stage["steps"] for stage in card["stages"]] == [10, 1, 2, 1]
    assert load_engine("visor", pretrained=str(tmp_path / "out" / "visor-half-tiny")) is not None


def test_a_family_of_another_seed_has_names_of_its_own(work, tmp_path):
    for name in ("base", "lines", "visor"):
        stages.language(work, short(name, seed=LANGUAGE[name].seed + 100, lines=None), TASKS)
    router = replace(ROUTERS["router"], steps=1, label_images=1, images=2, seed=100)
    stages.router(work, LANGUAGE["visor"], router, TASKS)
    export_family(work, tmp_path / "out", dev_images=1, names=("visor-tiny",), seed=100)
    card = json.loads((tmp_path / "out" / "visor-tiny-seed100" / "card.json").read_text())
    assert card["name"] == "visor-tiny-seed100"
    assert "seed 100" in card["summary"]
    assert card["hardware"].endswith("no GPU; float32 products")
    assert (card["seeds"]["family"], card["seeds"]["training"]) == (100, LANGUAGE["visor"].seed + 100)
    with pytest.raises(SetupError, match="under seed 100, not 0"):
        export_family(work, tmp_path / "out", dev_images=1, names=("visor-tiny",))


def test_a_folder_belongs_to_one_seed(work):
    stages.language(work, short("base"), TASKS)
    with pytest.raises(SetupError, match="under seed 0, not 5: give another --work"):
        stages.language(work, short("base", seed=5, steps=3), TASKS)
    (work / FOUNDATION / "report.json").write_text(json.dumps({"seed": 3}))
    with pytest.raises(SetupError, match="under seed 3, not 0"):
        stages.foundation(work, EncoderRecipe())


def test_a_member_is_not_exported_before_its_router(work, tmp_path, monkeypatch):
    for name in ("base", "lines", "visor"):
        stages.language(work, short(name, lines=None), TASKS)
    monkeypatch.setattr(members, "evaluate", lambda *_: pytest.fail("evaluated before the check"))
    with pytest.raises(SetupError, match="visor-eval train visor/router"):
        export_family(work, tmp_path / "out", dev_images=1, names=("visor-tiny",))


def test_a_branch_may_change_anything_by_name():
    changed = branch(LANGUAGE["base"], "mine", 10, packing=4.0, seed=7)
    assert (changed.start, changed.packing, changed.seed, changed.steps) == ("base", 4.0, 7, 10)
