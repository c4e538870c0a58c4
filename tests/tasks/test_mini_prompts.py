"""The mini suite says to a model exactly what lmms-eval would, and lmms-eval scores its answers as right."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from visor_tasks.mini import PHRASES, TASKS, WORDS, Question, stream_item
from visor_tasks.mini.rows import columns

CONFIGS = {
    "realworldqa": "realworldqa/realworldqa.yaml",
    "scienceqa_img": "scienceqa/scienceqa_img.yaml",
    "gqa": "gqa/gqa.yaml",
    "mme": "mme/mme.yaml",
    "mmstar": "mmstar/mmstar.yaml",
    "pope": "pope/pope.yaml",
    "textvqa_val": "textvqa/textvqa_val.yaml",
    "ai2d": "ai2d/ai2d.yaml",
    "chartqa": "chartqa/chartqa.yaml",
    "ocrbench": "ocrbench/ocrbench.yaml",
    "infovqa_val": "infovqa/infovqa_val.yaml",
    "docvqa_val": "docvqa/docvqa_val.yaml",
}
TEMPLATE_TOKENS = 4  # what the chat template adds


def lmms_tasks() -> Path:
    spec = importlib.util.find_spec("lmms_eval")
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


class Loader(yaml.SafeLoader):
    """Reads ``!function utils.name`` as a plain string."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def load_config(path: Path) -> dict:
    own = yaml.load(path.read_text(), Loader=Loader)
    base = own.pop("include", None)
    return {**(load_config(path.parent / base) if base else {}), **own}


@pytest.fixture(scope="module")
def lmms() -> Iterator[dict[str, tuple[ModuleType, dict]]]:
    """{task: (its utils module, its YAML)}; leaves sys.modules as it was.

    Importing lmms_eval.tasks itself pulls in torch, transformers and more (20 s), which the task files do not need.
    """
    before = set(sys.modules)
    if "lmms_eval.tasks" not in before:
        package, filters = ModuleType("lmms_eval.tasks"), ModuleType("lmms_eval.filters")
        package.__path__, filters.__path__ = [str(lmms_tasks())], []
        extraction, transformation = ModuleType("extraction"), ModuleType("transformation")
        extraction.ExtendedRegexFilter = type("ExtendedRegexFilter", (), {})  # bases of classes not used here
        transformation.MapFilter = type("MapFilter", (), {})
        sys.modules["lmms_eval.tasks"], sys.modules["lmms_eval.filters"] = package, filters
        sys.modules["lmms_eval.filters.extraction"] = extraction
        sys.modules["lmms_eval.filters.transformation"] = transformation
    found = {}
    for task, path in CONFIGS.items():
        module = importlib.import_module(f"lmms_eval.tasks.{path.split('/')[0]}.utils")
        found[task] = (module, load_config(lmms_tasks() / path))
    yield found
    for name in [name for name in sys.modules if name.startswith("lmms_eval") and name not in before]:
        del sys.modules[name]


def questions(task: str, count: int = 60) -> list[Question]:
    return [question for index in range(count) for question in stream_item("test", task, 3, index).questions]


@pytest.mark.parametrize("task", TASKS)
def test_prompt_is_what_lmms_eval_sends(lmms: dict, task: str) -> None:
    module, config = lmms[task]
    doc_to_text = getattr(module, config["doc_to_text"].removeprefix("utils."))
    for question in questions(task):
        row = columns(question, "test-0-0001")
        assert question.prompt == doc_to_text(row, config["lmms_eval_specific_kwargs"]["default"])


@pytest.mark.parametrize(
    "task", ["realworldqa", "scienceqa_img", "mme", "mmstar", "pope", "textvqa_val", "chartqa", "ocrbench"]
)
def test_lmms_eval_scores_the_answer_as_right_and_another_as_wrong(lmms: dict, task: str) -> None:
    module, config = lmms[task]
    process = getattr(module, config["process_results"].removeprefix("utils."))

    def score(question: Question, text: str) -> float:
        result = next(iter(process(columns(question, "test-0-0001"), [text]).values()))
        return result["score"] if isinstance(result, dict) else result

    for question in questions(task, 30):
        assert score(question, question.answers[0]) == pytest.approx(1)
        assert score(question, "xyzzy") == 0


def test_letter_targets_are_the_options_place(lmms: dict) -> None:
    ai2d, science = lmms["ai2d"][0], lmms["scienceqa_img"][0]
    for question in questions("ai2d"):
        assert ai2d.ai2d_doc_to_target(columns(question, "test-0-0001"), "mcq") == question.answers[0]
    for question in questions("scienceqa_img"):
        assert science.sqa_doc_to_target(columns(question, "test-0-0001")) == question.answers[0]


PHRASE = re.compile("|".join(map(re.escape, sorted(PHRASES, key=len, reverse=True))))
WORD = re.compile(rf" ?(?:{'|'.join(sorted(map(re.escape, WORDS), key=len, reverse=True))})(?![a-z])")


def pieces(text: str) -> list[str]:
    """Phrases first, then words with or without a leading space, then single characters."""
    found, start = [], 0
    while start < len(text):
        match = PHRASE.match(text, start) or WORD.match(text, start)
        found.append(match.group() if match else text[start])
        start += len(found[-1])
    return found


@pytest.mark.parametrize("task", TASKS)
def test_prompts_are_short_and_made_of_known_pieces(task: str) -> None:
    for index in range(150):
        for split in ("train", "test"):
            item = stream_item(split, task, 4, index)
            height, width = (side // 8 for side in item.image.shape[:2])
            vision = 49 + height * width + height  # thumbnail, tiles, newlines
            for question in item.questions:
                prompt = pieces(question.prompt)
                spelled = [piece for piece in (*prompt, *pieces(question.answers[0])) if len(piece) == 1]
                assert not [piece for piece in spelled if piece.islower()], question.prompt
                assert vision >= 4 * (len(prompt) + TEMPLATE_TOKENS), question.prompt
