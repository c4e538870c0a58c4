"""The stages that make the embedded family, each resumable, each leaving its results in its own folder.

work/foundation   tokenizer, processor, model with a trained and aligned encoder
work/universal    state and curves of universal VISOR training
work/dense        the dense member, trained on from the universal weights
work/router       the router's weights, pseudo-labels and curve
"""

import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from visor_eval.errors import SetupError
from visor_eval.records.pseudo_labels import PseudoLabels
from visor_eval.training.encoder import EncoderRecipe, align_projector, pretrain_encoder, related_embeddings
from visor_eval.training.family import FamilyShape, build_model, build_processor, save_folder
from visor_eval.training.initialise import add_visor
from visor_eval.training.labels import LabelSet
from visor_eval.training.loop import Member, train
from visor_eval.training.recipes import LanguageRecipe, RouterRecipe
from visor_eval.training.router import train_router
from visor_eval.training.state import Progress, load_state
from visor_eval.training.stream import QuestionTokens, Stream
from visor_eval.training.tokenizer import build_tokenizer
from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules
from visor_tasks.mini import PHRASES, TASKS, WORDS

log = logging.getLogger(__name__)
DEV_SEED = 0
DENSE_SEED_OFFSET = 50  # so that the dense member meets other scenes than the universal one did


def foundation(
    work: Path, recipe: EncoderRecipe, shape: FamilyShape | None = None, tasks: tuple[str, ...] = TASKS, seed: int = 0
) -> None:
    """Build the model, pretrain its encoder, align its projector."""
    folder = work / "foundation"
    if (folder / "config.json").exists():
        log.info("foundation: already there")
        return
    started = time.monotonic()
    tokenizer = build_tokenizer(PHRASES, WORDS)
    model = build_model(tokenizer, shape, seed)
    related_embeddings(model, tokenizer, seed=seed)
    stream = Stream(QuestionTokens(tokenizer), tasks, "train", seed, recipe.images, questions=1)
    labels = LabelSet.default()
    curves = {
        "encoder": pretrain_encoder(model, stream, labels, recipe),
        "align": align_projector(model, stream, labels, recipe),
    }
    save_folder(model, build_processor(tokenizer), folder)
    report = {"recipe": asdict(recipe), "curves": curves, "seconds": time.monotonic() - started, "seed": seed}
    (folder / "report.json").write_text(json.dumps(report, indent=1))


def load_foundation(work: Path) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]:
    """The stage's model in float32 and its processor.

    Raises:
        SetupError: the stage has not run.
    """
    folder = work / "foundation"
    if not (folder / "config.json").exists():
        raise SetupError(f"{folder} holds no model yet: run `visor-eval train foundation --work {work}` first")
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.train(), AutoProcessor.from_pretrained(folder)


def start_universal(work: Path) -> tuple[Member, LlavaOnevisionProcessor]:
    """The foundation with fresh VISOR modules."""
    model, processor = load_foundation(work)
    return Member(model, add_visor(model)), processor


def load_universal(work: Path, router: bool = False) -> tuple[Member, LlavaOnevisionProcessor, Progress]:
    """The universal member as far as it has been trained.

    Args:
        work: the work folder.
        router: give it a router too, trained if the router stage has run.

    Raises:
        SetupError: the stage has not run.
    """
    state = work / "universal" / "state.safetensors"
    if not state.exists():
        raise SetupError(f"{state} is missing: run `visor-eval train universal --work {work}` first")
    member, processor = start_universal(work)
    progress = load_state(state, member.parameters())
    if router:
        assert member.visor is not None
        text = member.model.config.text_config
        modules = VisorModules(VisorConfig.for_layers(member.depth, router=True), text)
        modules.load_state_dict(member.visor.state_dict(), strict=False)
        weights = work / "router" / "router.safetensors"
        if weights.exists():
            modules.router.load_state_dict(load_file(weights))  # type: ignore[union-attr]
        member = Member(member.model, modules)
    return member, processor, progress


def streams(
    processor: LlavaOnevisionProcessor, recipe: LanguageRecipe, tasks: tuple[str, ...] = TASKS
) -> tuple[Stream, Stream]:
    """Training and dev streams."""
    tokens = QuestionTokens(processor.tokenizer)
    training = Stream(tokens, tasks, "train", recipe.seed, recipe.images, recipe.questions)
    return training, Stream(tokens, tasks, "dev", DEV_SEED, recipe.images, recipe.questions)


def universal(work: Path, recipe: LanguageRecipe, tasks: tuple[str, ...] = TASKS) -> Progress:
    """Train or resume the universal member."""
    member, processor = start_universal(work)
    return train(member, recipe, *streams(processor, recipe, tasks), work / "universal")


def dense(work: Path, recipe: LanguageRecipe, tasks: tuple[str, ...] = TASKS) -> Progress:
    """Train or resume the dense member; it starts from the universal weights."""
    member, processor, start = load_universal(work)
    folder = work / "dense"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "state.safetensors").exists():
        (folder / "start.json").write_text(json.dumps(asdict(start), indent=1))
    shifted = replace(recipe, seed=recipe.seed + DENSE_SEED_OFFSET)
    return train(Member(member.model, None), recipe, *streams(processor, shifted, tasks), folder)


def load_dense(work: Path) -> tuple[Member, LlavaOnevisionProcessor, Progress]:
    """The dense member as far as it has been trained."""
    model, processor = load_foundation(work)
    member = Member(model, None)
    return member, processor, load_state(work / "dense" / "state.safetensors", member.parameters())


def router(work: Path, recipe: RouterRecipe, tasks: tuple[str, ...] = TASKS, given: PseudoLabels | None = None) -> None:
    """Label a slice of training data, or take labels from a file, and train the router on the universal member."""
    member, processor, _ = load_universal(work, router=True)
    assert member.visor is not None
    started = time.monotonic()
    labels, curve = train_router(member, recipe, QuestionTokens(processor.tokenizer), tasks, given)
    configurations = member.visor.config.configurations
    folder = work / "router"
    folder.mkdir(parents=True, exist_ok=True)
    assert member.visor.router is not None
    save_file(
        {name: value.contiguous() for name, value in member.visor.router.state_dict().items()},
        folder / "router.safetensors",
    )
    report = {
        "recipe": asdict(recipe),
        "labels_from": None if given is None else {"rule": given.rule, "run_id": given.run_id},
        "labels": {task: list(configurations[index]) for task, index in labels.by_task.items()},
        "accuracy": {
            plan: {task: tally.accuracy for task, tally in found.items() if "/" not in task}
            for plan, found in labels.accuracy.items()
        },
        "curve": curve,
        "seconds": time.monotonic() - started,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1))
