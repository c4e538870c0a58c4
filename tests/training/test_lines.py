"""Layers that update vision tokens are taught to follow lines, and nothing else changes."""

from dataclasses import replace

import pytest
import torch

from tests.training.conftest import TASKS, short
from visor_eval.commands.train import Job, run
from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import embedded_folder
from visor_eval.training import stages
from visor_eval.training.labels import LabelSet, canvas_labels
from visor_eval.training.lines import NAMES, UNKNOWN, LinesRecipe, along, teach_lines, with_lines
from visor_eval.training.processes import Processes
from visor_eval.training.recipes import LANGUAGE
from visor_eval.training.state import STATE
from visor_eval.training.stream import QuestionTokens, Stream
from visor_eval.visor.config import VisorConfig
from visor_tasks.mini.canvas import Canvas
from visor_tasks.mini.lines import LONGEST
from visor_tasks.mini.question import Item

CONFIG = VisorConfig(candidates=(1, 4), read_layers=(2, 5), configurations=((1,), (1, 4)))
QUICK = LinesRecipe(steps=25, images=2)
PLAIN = {"compute": torch.float32, "compiled": False}


def drawn():
    """``fuel`` with a line that goes down, right and right again to 47."""
    canvas = Canvas(14, 14)
    canvas.word(0, 3, "fuel")
    for row, column, way in ((1, 4, "up"), (1, 5, "left"), (1, 6, "left")):
        canvas.icon(row, column, way)
    canvas.text(1, 7, "47")
    return Item(image=canvas.pixels, questions=(), cells=canvas.cells, scene_hash="")


def test_a_name_travels_one_cell_per_layer():
    labels = LabelSet.default()
    found = along(canvas_labels([drawn()], labels), labels, 6)
    name = NAMES.index("fuel")
    for layers, known in enumerate(found):
        on_the_line = known[0, 1, 4:9].tolist()
        assert on_the_line == [name if place < layers else UNKNOWN for place in range(5)]
        assert known[0, 0, 3:5].tolist() == [name, name]
        assert (known != UNKNOWN).sum() == 2 + min(layers, 5)


def test_a_value_knows_its_label_after_as_many_layers_as_its_template_says(tokenizer):
    """The generator's own answers, from its own labels."""
    batch, labels = with_lines(QuestionTokens(tokenizer), 3, 0, 60), LabelSet.default()
    found = along(canvas_labels(batch.items, labels), labels, LONGEST + 1)
    checked = 0
    for number, item in enumerate(batch.items):
        question = item.questions[0]
        kind, _, arrows = question.template.rpartition("_")
        if kind != "line":
            continue
        name, value = _label_and_value(question)
        (at,) = (
            (row, column)
            for (row, column), words in item.cells.items()
            if words == (value[0],) and item.cells.get((row, column + 1)) == (value[1],)
        )
        knows = [known[number, at[0], at[1]].item() for known in found]
        assert knows[: int(arrows) + 1] == [UNKNOWN] * (int(arrows) + 1)
        assert knows[int(arrows) + 1] == NAMES.index(name)
        checked += 1
    assert checked > 5


def _label_and_value(question):
    words = question.prompt.replace("?", " ").split()
    (told,) = [word for word in words if word in NAMES or word.isdigit()]
    return (question.answers[0], told) if told.isdigit() else (told, question.answers[0])


def test_only_the_candidates_learn(tokenizer, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = Stream(QuestionTokens(tokenizer), ("docvqa_val",), "train", 0, images=4, questions=1)
    curve = teach_lines(model, CONFIG, stream, QUICK, **PLAIN)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert {name.split(".")[3] for name in changed} == {"0", "3"}  # the list counts from 0
    assert all(name.startswith("model.language_model.layers.") for name in changed)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_a_dense_member_learns_in_the_same_layers(tokenizer, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, images=2, questions=1)
    (row, *_) = teach_lines(model, CONFIG, stream, replace(QUICK, steps=2), dense=True, **PLAIN)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[3] for name in changed} == {"0", "3"}
    assert row["layers"] == 6


def test_a_stage_is_taught_before_its_first_step_and_only_then(work):
    stages.language(work, short("base"), TASKS)
    recipe = short("lines", lines=replace(QUICK, steps=2))
    stages.language(work, recipe, TASKS)
    report = work / "lines" / "lines.json"
    assert report.exists()
    report.unlink()
    assert stages.language(work, replace(recipe, steps=3), TASKS).step == 3  # resumed
    assert not report.exists()


def test_a_shipped_member_can_be_gone_on_from(tmp_path):
    folder = embedded_folder() / "visor-tiny"
    stages.adopt(tmp_path / "fresh", LANGUAGE["base"], folder)
    assert (tmp_path / "fresh" / "base" / STATE).exists()
    member, _, progress = stages.load_member(tmp_path / "fresh", LANGUAGE["base"])
    assert progress.step > 1000
    assert progress.adopted == "visor-tiny"
    assert member.visor is not None
    with pytest.raises(SetupError, match="is there already"):
        stages.adopt(tmp_path / "fresh", LANGUAGE["base"], folder)
    with pytest.raises(SetupError, match="has VISOR's added blocks"):
        stages.adopt(tmp_path / "fresh", LANGUAGE["dense-base"], folder)
    with pytest.raises(SetupError, match=r"no card\.json"):
        stages.adopt(tmp_path / "other", LANGUAGE["base"], tmp_path)


def test_adopting_is_a_flag_of_language_stages(tmp_path):
    job = Job(work=tmp_path, output=tmp_path, processes=Processes(torch.device("cpu")), adopted="visor-tiny")
    assert run("lines", job) == tmp_path / "lines"
    assert (tmp_path / "lines" / STATE).exists()
    for stage in ("foundation", "visor/router", "export", "family"):
        with pytest.raises(SetupError, match="--adopt belongs to a language stage"):
            run(stage, job)


def test_a_shorter_stage_has_a_shorter_lesson():
    assert LANGUAGE["lines"].of_length(24).lines.steps == 6
    assert LANGUAGE["visor"].of_length(24).lines is None
