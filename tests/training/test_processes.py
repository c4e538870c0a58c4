"""Several processes take the step that one would take."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.conftest import TINY
from visor_eval.commands.train import Job, run
from visor_eval.errors import SetupError
from visor_eval.training import recipes
from visor_eval.training.family import build_model
from visor_eval.training.initialise import add_visor
from visor_eval.training.loop import Member, train
from visor_eval.training.processes import Processes
from visor_eval.training.state import STATE, read_progress
from visor_eval.training.stream import QuestionTokens, Stream
from visor_eval.training.tokenizer import build_tokenizer
from visor_tasks.mini import PHRASES, WORDS

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def trained(folder, processes, steps=2):
    """Weights after steps of three images each, resumed if some have been done."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(PHRASES, WORDS)
    model = build_model(tokenizer, TINY, seed=1 + processes.index)  # the first process's weights count
    member = Member(model, add_visor(model, seed=processes.index))
    recipe = recipes.universal(
        steps=steps, images=3, questions=2, compiled=False, bfloat16=False, warmup_steps=2, kept=()
    )
    train(member, recipe, Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, 3, 2), None, folder, None, processes)
    return {name: value.detach().clone() for name, value in member.parameters().items()}


def share(folder):
    """What each of the two processes does: one step, then another as a resumed run."""
    processes = Processes.launched("cpu")
    assert processes.count == 2
    trained(Path(folder) / "both", processes, steps=1)
    save_file(trained(Path(folder) / "both", processes), Path(folder) / f"{processes.index}.safetensors")
    processes.finish()


def test_two_processes_equal_one(tmp_path):
    launch = (
        "from accelerate import debug_launcher; from tests.training.test_processes import share; "
        f"debug_launcher(share, ({str(tmp_path)!r},), num_processes=2)"
    )
    done = subprocess.run([sys.executable, "-c", launch], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (load_file(tmp_path / f"{index}.safetensors") for index in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = trained(tmp_path / "alone", Processes(CPU))
    for name, value in alone.items():  # those biases have no effect on the loss: their gradients are rounding only
        if not ("blocks" in name and name.endswith("k_proj.bias")):
            torch.testing.assert_close(first[name], value, atol=2e-6, rtol=0, msg=name)
    both, one = (read_progress(tmp_path / name / STATE) for name in ("both", "alone"))
    assert (both.step, both.images, both.questions, both.accuracy) == (2, one.images, one.questions, one.accuracy)
    assert (tmp_path / "both" / "curve.csv").exists() == (tmp_path / "alone" / "curve.csv").exists()


def test_shares_hold_every_image_once(tokenizer):
    batch = Stream(QuestionTokens(tokenizer), ("gqa",), "train", 0, images=5, questions=2).batch(0)
    shares = [batch.share(index, 3) for index in range(3)]
    assert [len(share.items) for share in shares] == [2, 2, 1]
    assert sum(share.answer_tokens for share in shares) == batch.answer_tokens
    for image, item in enumerate(batch.items):
        share, place = shares[image % 3], image // 3
        assert share.items[place] is item
        assert share.questions[2 * place : 2 * place + 2] == batch.questions[2 * image : 2 * image + 2]
        assert torch.equal(share.packed.tokens[place], batch.packed.tokens[image])
        assert torch.equal(share.packed.pixels[place], batch.packed.pixels[image])


class Four(Processes):
    """As if three others were there."""

    count = property(lambda self: 4)


def test_more_processes_than_images_are_refused():
    Four(CPU).check(4)
    with pytest.raises(SetupError, match="3 images"):
        Four(CPU).check(3)


@pytest.mark.parametrize("stage", ["foundation", "visor/router", "export", "family"])
def test_only_language_stages_are_shared(stage, tmp_path):
    with pytest.raises(SetupError, match="runs in one process"):
        run(stage, Job(work=tmp_path, output=tmp_path, processes=Four(CPU)))
