"""Router labels from a file: the slice they were made on is drawn again, and nothing of the evaluation is in it."""

import json
from io import BytesIO

import pytest
import torch
from PIL import Image

from visor_eval.errors import SetupError
from visor_eval.records import StoreError
from visor_eval.records.hashes import rgb_hash
from visor_eval.records.pseudo_labels import PER_DATASET, PER_SAMPLE, PseudoLabels, sample_id
from visor_eval.training.labelled import LabelledQuestions, task_indices
from visor_eval.training.loop import Member
from visor_eval.training.recipes import RouterRecipe
from visor_eval.training.router import train_router
from visor_eval.training.stream import QuestionTokens
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_tasks.mini import stream_item
from visor_tasks.mini.rows import columns, rows

CONFIGURATIONS = ((1,), (1, 4))
TASKS = ("gqa", "mme")
SEED, COUNT = 7, 6


def prompts_of(task: str) -> dict[str, str]:
    """Image hash and raw question of the stream's items -> prompt, to find the prompt of a row."""
    found = {}
    for index in range(40):
        item = stream_item("train", task, SEED, index, 2 if task == "mme" else 1)
        height, width = item.image.shape[:2]
        for question in item.questions:
            text = json.dumps(columns(question, "")["question"])
            found[rgb_hash(width, height, item.image.tobytes()) + text] = question.prompt
    return found


def image_of(row: dict) -> str:
    image = Image.open(BytesIO(row["image"]["bytes"])).convert("RGB")
    return rgb_hash(image.width, image.height, image.tobytes())


@pytest.fixture(scope="module")
def identities() -> dict[str, int]:
    """The questions of the slice as a sweep names them -> label: from the rows' PNG files, not from the stream."""
    found = {}
    for task in TASKS:
        prompts = prompts_of(task)
        for number, row in enumerate(rows(task, "train", SEED, COUNT)):
            found[sample_id([image_of(row)], prompts[image_of(row) + json.dumps(row["question"])])] = number % 2
    return found


def labels(identities=None, **changes) -> PseudoLabels:
    fields = {
        "rule": PER_SAMPLE if identities else PER_DATASET,
        "target": 0.99,
        "full": (1, 4),
        "configurations": CONFIGURATIONS,
        "by_task": {} if identities else {"gqa": (1,), "mme": (1, 4)},
        "by_sample": {identity: CONFIGURATIONS[label] for identity, label in (identities or {}).items()},
        "scores": {},
        "samples": dict.fromkeys(TASKS, COUNT),
        "checkpoint": "here",
        "weights_hash": "0",
        "data": {"suite": "mini", "split": "train", "slice": COUNT, "slice_seed": SEED},
        "run_id": "sweep",
        **changes,
    }
    return PseudoLabels(**fields)


def questions_of(given, tokenizer, tasks=TASKS) -> LabelledQuestions:
    return LabelledQuestions(given, CONFIGURATIONS, QuestionTokens(tokenizer), tasks, images=4, seed=0)


def test_every_labelled_question_comes_back_with_its_label(identities, tokenizer):
    """Once per epoch, named by pixels and prompt, from the generator alone."""
    source = questions_of(labels(identities), tokenizer)
    epoch = len(source._batches)
    seen = []
    for step in range(epoch):
        batch, targets = source.batch(step)
        per_item = len(batch.questions) // len(batch.items)
        for row, question in enumerate(batch.questions):
            assert question is not None
            item = batch.items[row // per_item]
            height, width = item.image.shape[:2]
            identity = sample_id([rgb_hash(width, height, item.image.tobytes())], question.prompt)
            seen.append(identity)
            assert int(targets[row]) == identities[identity]
    assert sorted(seen) == sorted(identities)
    assert len(seen) == 2 * COUNT
    again = questions_of(labels(identities), tokenizer)
    assert all(torch.equal(source.batch(step)[1], again.batch(step)[1]) for step in range(2 * epoch))


@pytest.mark.parametrize("per_sample", [True, False])
def test_the_router_learns_from_a_file(per_sample, identities, tokenizer, model):
    config = VisorConfig(
        candidates=(1, 4), read_layers=(2, 5), configurations=CONFIGURATIONS, router=True, router_hidden=8
    )
    modules = VisorModules(config, model.config.text_config)
    before = {name: value.clone() for name, value in modules.state_dict().items()}
    given = labels(identities) if per_sample else labels()
    recipe = RouterRecipe(steps=3, images=2, label_images=1)
    found, curve = train_router(Member(model, modules), recipe, QuestionTokens(tokenizer), TASKS, given)
    assert found.by_task == ({} if per_sample else {"gqa": 0, "mme": 1})
    assert len(curve) == 2
    changed = {name for name, value in modules.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("router") for name in changed)


def test_labels_that_do_not_fit(identities, tokenizer):
    with pytest.raises(SetupError, match="other configurations"):
        task_indices(labels(), ((1,), (1, 4), (4,)), TASKS)
    with pytest.raises(SetupError, match="lack pope"):
        task_indices(labels(), CONFIGURATIONS, (*TASKS, "pope"))
    with pytest.raises(SetupError, match="no label for gqa"):
        task_indices(labels(by_task={"mme": (1,)}), CONFIGURATIONS, TASKS)
    with pytest.raises(SetupError, match="no per-sample labels"):
        questions_of(labels(), tokenizer)
    with pytest.raises(SetupError, match="no per-sample labels"):
        questions_of(labels(identities, data={"split": "given"}), tokenizer)
    with pytest.raises(SetupError, match="could be drawn again"):
        questions_of(labels({"nowhere": 0}, samples=dict.fromkeys(TASKS, 1)), tokenizer)


def test_a_label_file_reads_back_and_refuses_damage(identities, tmp_path):
    given, path = labels(identities), tmp_path / "labels.json"
    given.write(path)
    assert PseudoLabels.read(path) == given
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StoreError, match=r"labels\.json"):
        PseudoLabels.read(path)
    with pytest.raises(StoreError):
        PseudoLabels.read(tmp_path / "none.json")
    with pytest.raises(ValueError, match="not among"):
        labels(by_task={"gqa": (7,)})
    with pytest.raises(ValueError, match="unknown rule"):
        labels(rule="guess")
