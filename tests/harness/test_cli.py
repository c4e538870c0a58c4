"""The command line: every mistake is one line with exit code 2; help is fast."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.harness.real_schemas import ROWS, picture, turned
from visor_eval import cli
from visor_eval.commands.requests import read_model_args, run_request
from visor_eval.harness.runner import RunRequest
from visor_eval.records import RunFolder, RunStatus, read_journal

PROGRAM = [sys.executable, "-m", "visor_eval.cli"]


@pytest.fixture
def environment(fake_methods: Path) -> dict[str, str]:
    """A process that sees the fake methods."""
    return {**os.environ, "PYTHONPATH": str(fake_methods), "OMP_NUM_THREADS": "1"}


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return set(done.stderr.split())


HEAVY = {"torch", "transformers", "lmms_eval", "pandas", "numpy", "datasets", "PIL", "yaml"}


HELP = "from visor_eval.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass"


@pytest.mark.parametrize("code", ["import visor_eval", HELP])
def test_import_and_help_need_nothing_heavy(code):
    assert not imported_by(code) & HEAVY


def test_help_is_fast():
    """Processor time: the wall clock of a busy machine says nothing about us."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_no_verb_shows_help(capsys):
    assert cli.main([]) == 2
    assert "visor-eval run --model dense,visor" in capsys.readouterr().out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a mistake."""
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("visor-eval: ")]
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "visro"], "unknown method 'visro': did you mean 'visor'?"),
        (["--model", "fake", "--tasks", "chartqq"], "unknown task 'chartqq': did you mean 'chartqa'?"),
        (["--model", "fake", "--tasks", ""], "no tasks given"),
        (["--model", "fake,fake"], "name each model once"),
        (["--model", "fake", "--pretrained", "/nowhere"], "no checkpoint '/nowhere'"),
        (["--model", "fake", "--limit", "0"], "give at least 1"),
        (["--model", "fake", "--batch_size", "many"], "give a number, or auto"),
        (["--model", "fake", "--batch-size", "-3"], "give at least 1"),
        (["--model", "fake", "--model_args", "x"], "'x' is not key=value"),
        (["--model", "fake", "--output_path", "/proc/nothing"], "choose another --output_path"),
        (["--model", "fake", "--suite", "mini", "--device", "warp"], "unknown device 'warp'"),
    ],
)
def test_mistakes_are_one_line(capsys, monkeypatch, checkpoint, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--pretrained" in arguments else [*arguments, "--pretrained", str(checkpoint)]
    assert message in fails(capsys, "run", *given)


def test_bench_refuses_options_it_would_ignore(capsys):
    assert "leave --model_args out" in fails(capsys, "bench", "--model", "visionzip", "--model_args", "dominant=9")


def test_list_names_everything(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("visor-zero", "fake-part", "1,4,7,10,16,19,22", "visor_mini_hard", "docvqa_val_mini", "checkpoints"):
        assert name in out
    assert cli.main(["list", "methods"]) == 0
    assert "docvqa" not in capsys.readouterr().out
    assert "there are methods" in fails(capsys, "list", "nothing")


def test_tasks_path_prints_a_folder_of_task_files(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = set()
    for _ in range(2):
        assert cli.main(["list", "--tasks-path"]) == 0
        folders.add(capsys.readouterr().out.strip())
    (folder,) = folders
    written = {file.name for file in Path(folder).iterdir()}
    assert {"visor_mini_easy.yaml", "visor_hard.yaml", "mme_mini.yaml"} <= written
    assert [entry.name for entry in (tmp_path / "visor-eval").iterdir()] == [Path(folder).name]


def test_ask_answers_with_configuration_and_cost(capsys, checkpoint, tmp_path):
    picture(1).save(tmp_path / "image.png")
    arguments = ["ask", str(tmp_path / "image.png"), "What?", "--model", "fake", "--pretrained", str(checkpoint)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "layers [1, 4]" in out
    assert "saving 12.0x, exact" in out
    (tmp_path / "image.png").write_bytes(b"nothing")
    assert "give a PNG or JPEG file" in fails(capsys, *arguments)


def test_ask_shows_the_image_upright_and_refuses_huge_ones_in_a_line(capsys, checkpoint, tmp_path, monkeypatch):
    import fake_methods

    shown = []
    answer = fake_methods.FakeEngine.answer
    monkeypatch.setattr(fake_methods.FakeEngine, "answer", lambda one, asked: shown.extend(asked) or answer(one, asked))
    turned(tmp_path / "image.jpg")
    arguments = ["ask", str(tmp_path / "image.jpg"), "What?", "--model", "fake", "--pretrained", str(checkpoint)]
    assert cli.main(arguments) == 0
    assert [(image.size, image.mode) for request in shown for image in request.images] == [((10, 30), "RGB")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "give a PNG or JPEG file" in fails(capsys, *arguments)


def test_run_prints_the_table_and_names_the_folder(capsys, checkpoint, data, tmp_path):
    arguments = ["run", "--model", "fake", "--tasks", "pope", "--suite", "mini", "--output-path", str(tmp_path)]
    assert cli.main([*arguments, "--data", str(data), "--pretrained", str(checkpoint)]) == 0
    captured = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    assert captured.out.splitlines()[-1] == f"written: {folder}"
    assert "pope" in captured.out
    assert "6/6 samples" in captured.err


@pytest.mark.parametrize("verb", ["run", "oracle", "cka"])
def test_lmms_eval_options_in_model_args(verb):
    """The same flags mean the same to every verb; what is given as a flag wins; the flags are left as they were."""
    given = [verb, "--device", "cpu", "--model_args", "pretrained=there,dtype=bfloat16,device=cuda,keep=3"]
    options = cli.build_parser().parse_args([*given, "--limit", "5", "--batch-size", "2"])
    request = run_request(options)
    assert (request.pretrained, request.dtype, request.device) == ("there", "bfloat16", "cpu")
    assert (request.model_args, request.limit, request.batch_size) == ({"keep": 3}, 5, 2)
    assert (request.seed, request.shuffle_images) == (RunRequest.seed, RunRequest.shuffle_images)
    assert options.pretrained is None


def test_ask_takes_them_too():
    options = cli.build_parser().parse_args(["ask", "a.png", "What?", "--model_args", "config=1+4,factor=4"])
    given = read_model_args(options)
    assert (given.config, given.model_args) == ("1+4", {"factor": 4})


def test_seed_and_shuffling_reach_the_request():
    request = run_request(cli.build_parser().parse_args(["run", "--seed", "7", "--shuffle_images"]))
    assert (request.seed, request.shuffle_images) == (7, True)


@pytest.mark.slow
def test_kill_and_resume(checkpoint, data, tmp_path, environment):
    """Kill -9 in the middle, the same command again: nothing computed twice, nothing lost."""
    log = tmp_path / "computed.log"
    command = [*PROGRAM, "run", "--model", "fake", "--tasks", "easy,hard", "--suite", "mini", "--batch_size", "4"]
    command += ["--pretrained", str(checkpoint), "--data", str(data), "--output_path", str(tmp_path / "results")]
    command += ["--model_args", f"log={log},delay_s=0.5"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 20):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = (tmp_path / "results").iterdir()
    assert RunFolder(folder).read_run().status == RunStatus.STARTED
    finished = len(read_journal(folder / "journal.jsonl"))
    assert 0 < finished < 12 * ROWS
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert f"{finished} of {12 * ROWS} samples were finished before" in done.stderr
    computed = log.read_text().splitlines()
    assert len(set(computed)) == 12 * ROWS
    assert len(computed) - 12 * ROWS <= 4  # at most the batch in flight
    run = RunFolder(folder).load()
    assert (run.run.status, len(run.samples)) == (RunStatus.FINISHED, 12 * ROWS)


@pytest.mark.slow
def test_paper_suite_without_network(checkpoint, tmp_path, environment):
    """The whole program in an offline world: one line, exit code 2, quickly."""
    command = [*PROGRAM, "run", "--model", "fake", "--suite", "paper", "--tasks", "gqa,pope"]
    command += ["--pretrained", str(checkpoint)]
    offline = {**environment, "HF_ENDPOINT": "https://hub.invalid", "HF_HOME": str(tmp_path)}
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--suite mini" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("flavour", [[], ["--force_simple"]])
def test_plain_lmms_eval_runs_our_models_and_tasks(checkpoint, tmp_path, environment, flavour):
    listing = [*PROGRAM, "list", "--tasks-path"]
    tasks = subprocess.run(listing, capture_output=True, text=True, check=True, env=environment)
    command = [sys.executable, "-m", "lmms_eval", "--model", "fake", "--model_args", f"pretrained={checkpoint}"]
    command += ["--tasks", "visor_mini_easy,visor_mini_hard", "--include_path", tasks.stdout.strip(), "--limit", "4"]
    command += ["--output_path", str(tmp_path / "out"), "--log_samples", "--device", "cpu", *flavour]
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=offline, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400)
    (file,) = (tmp_path / "out").rglob("*_results.json")
    results = json.loads(file.read_text())["results"]
    assert 0.0 <= results["mme_mini"]["visor_score,none"] <= 100.0, done.stderr[-2000:]
    for group in ("easy", "hard"):
        members = json.loads(file.read_text())["group_subtasks"][f"visor_mini_{group}"]
        mean = sum(results[task]["visor_score,none"] for task in members) / len(members)
        assert results[f"visor_mini_{group}"]["visor_score,none"] == pytest.approx(mean)
    (samples,) = (tmp_path / "out").rglob("*_samples_pope_mini.jsonl")
    first = json.loads(samples.read_text().splitlines()[0])
    assert first["token_counts"][0]["cost"]["nominal_dense"] == 1176.0
