"""`visor-eval flops`: light, exact, one line for what the user can fix."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from visor_eval.cli import main
from visor_eval.commands.flops import token_numbers
from visor_eval.cost import NOT_COUNTED, configurations
from visor_eval.errors import SetupError

LIGHT = """
import sys, time
from visor_eval.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "transformers", "lmms_eval", "datasets", "matplotlib"} & set(sys.modules)
print(f"process time {time.process_time():.2f} s", file=sys.stderr)
sys.exit(" ".join(sorted(heavy)) or code)
"""
FOUR = "llava-ov-0.5b,llava-ov-1.5b,llava-ov-7b,qwen2-vl-2b"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIGHT, "flops", *arguments], capture_output=True, text=True, check=False
    )


def test_everything_without_torch_or_matplotlib() -> None:
    done = run("--backbone", FOUR, "--method", "all", "--vision-tokens", "729:7290", "--text-tokens", "32")
    print(done.stderr.strip().splitlines()[-1])  # reported, not asserted: machines differ
    assert done.returncode == 0, done.stderr
    for name in FOUR.split(","):
        assert f"{name}: what each method costs and saves" in done.stdout
    for name in ("12.00x", "11.23x", "7.91x", "5.08x", "9.06x", "7.45x"):
        assert name in done.stdout
    for name in NOT_COUNTED:
        assert name in " ".join(done.stdout.split())


def test_images_without_torch(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("height,width\n384,384\n960,1280\n")
    done = run("--images", str(tmp_path / "set.csv"), "--method", "visor,visionzip")
    assert done.returncode == 0, done.stderr
    assert "set: savings from image sizes" in done.stdout


def test_csv_has_every_configuration_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flops", "--method", "visor,visionzip", "--vision-tokens", "729,7290", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["setting"] for row in rows[::2]] == [*(str(list(one)) for one in configurations(24)), ""]
    parts = ("tower", "projector", "reducer", "projections", "attention", "mlp", "cross_attention", "router", "lm_head")
    for row in rows:
        for phase in ("prefill", "decode"):
            total = sum(int(row[f"{phase}_{part}"]) for part in parts)
            assert int(row[f"{phase}_total"]) == total >= int(row[f"{phase}_total_causal"])
    zipped = rows[-1]
    assert (zipped["vision_tokens"], zipped["tiles"], zipped["saving_exact"][:4]) == ("1280", "10", "9.06")


def test_macs_are_half(capsys: pytest.CaptureFixture[str]) -> None:
    totals = []
    for unit in ("flops", "macs"):
        assert main(f"flops --method fastv --vision-tokens 1000 --format csv --unit {unit}".split()) == 0
        (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
        totals.append(int(row["prefill_total"]))
        assert row["unit"].lower() == unit
    assert totals[0] == 2 * totals[1]


def test_written_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flops", "--method", "visor,m3", "--output_path", str(tmp_path), "--components"]) == 0
    told = capsys.readouterr().out
    assert told.strip().splitlines()[-1] == "written: " + ", ".join(
        str(tmp_path / name) for name in ("flops.md", "flops.tex", "flops.csv")
    )
    assert "TFLOPs by component" in told
    tex = (tmp_path / "flops.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\bottomrule") == 2
    assert r"$\times$" in tex or r"\times" in tex
    assert "| visor | \\[1, 4\\]" in (tmp_path / "flops.md").read_text()
    assert len((tmp_path / "flops.csv").read_text().splitlines()) == 1 + 10 * (13 + 2)


def test_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "flops --backbone llava-ov-0.5b,qwen2-vl-2b --method dense,visor,m3 --vision-tokens 729,7290"
    assert main([*arguments.split(), "--figure", str(tmp_path)]) == 0
    names = [tmp_path / f"flops-vision-length.{ending}" for ending in ("pdf", "png", "svg")]
    assert capsys.readouterr().out.strip().endswith("written: " + ", ".join(map(str, names)))
    svg = names[-1].read_text()
    for text in ("llava-ov-0.5b", "qwen2-vl-2b", "dense", "visor (13)", "m3 (2)", "vision tokens of the dense model"):
        assert text in svg


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("729", (729,)),
        ("7290,729,729", (729, 7290)),
        ("10:30:10", (10, 20, 30)),
        ("1:1", (1,)),
        ("100:1000", (100, 129, 167, 215, 278, 359, 464, 599, 774, 1000)),
    ],
)
def test_numbers_of_vision_tokens(text: str, numbers: tuple[int, ...]) -> None:
    assert token_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "x", "5:3", "0:4", "1:2:0", "1:2:3:4", "-5", "1:99999999", "1:5000:1"])
def test_numbers_that_make_no_sense(text: str) -> None:
    with pytest.raises(SetupError, match="--vision_tokens"):
        token_numbers(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--backbone llava-ov-7", "unknown backbone 'llava-ov-7'; did you mean 'llava-ov-7b'?"),
        ("--backbone ,", "--backbone is empty: give one or more of llava-ov-0.5b"),
        ("--method ,", "--method is empty"),
        ("--method visorr", "unknown method 'visorr': did you mean 'visor'?"),
        ("--text-tokens 4 --prefix-tokens 5", "a prefix within it"),
        ("--method m3 --model_args fact=2", "unknown option 'fact'; did you mean 'factor'?"),
        ("--method downsample-image", "its cost follows from image sizes (--images) only"),
        ("--vision-tokens 5 --figure x", "--figure needs a range of vision tokens"),
        ("--images gone", "--images gone: there is no such file or folder"),
        ("--images {empty}", "no pictures in it; files with these endings are read"),
        ("--images {empty} --figure x", "leave out --images, or --figure"),
        ("--column image", "give --images too, or leave it out"),
        ("--images {long} --backbone qwen2-vl-2b", "one side is more than 200 times the other: leave it out"),
        ("--output_path {file}", "cannot be a folder to write to"),
    ],
)
def test_one_line_and_the_remedy(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "long.csv").write_text("height,width\n5,5000\n")
    places = {"empty": tmp_path / "empty", "long": tmp_path / "long.csv", "file": tmp_path / "long.csv"}
    assert main(["flops", *arguments.format(**places).split()]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flops", "--method", "visionzip,downsample-image", "--vision-tokens", "729"]) == 0
    assert "Left out: downsample-image changes the image's size" in " ".join(capsys.readouterr().out.split())
