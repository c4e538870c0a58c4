"""Method names, and how each becomes an engine.

A name is a built-in model (`dense`, `visor`, `visor-zero`), or an entry point of the group ``visor_eval.methods``: a
reducer or pruner class (a *part*, with ``reduce`` or ``prune``), or a builder of an engine of its own. Parts compose
with ``+``: ``visionzip`` is dense with VisionZip before the decoder, ``visor+visionzip`` VISOR with it.

A builder is a function ``(request: BuildRequest, *, <options>) -> Engine``; its options are keyword arguments of its
own, taken from ``--model_args``.
"""

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from visor_eval.errors import SetupError
from visor_eval.harness.checkpoints import embedded_names, find_checkpoint

if TYPE_CHECKING:
    from visor_eval.models.engine import Engine

ENTRY_POINTS = "visor_eval.methods"
PLAIN = "dense-tiny"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What every builder is given."""

    checkpoint: str  # folder or hub id
    device: str  # torch device
    dtype: str  # float32, bfloat16 or float16
    config: str | None = None  # the value of `--config`; None: the method's default
    parts: tuple[object, ...] = ()  # reducers and pruners to compose, left to right


@dataclass(frozen=True, kw_only=True)
class Method:
    """One name that ``--model`` understands."""

    name: str
    summary: str
    target: str  # "module:attribute"; imported when the method is used
    checkpoint: str = PLAIN  # the embedded member it runs on by default; a part's class may name its own
    configurable: bool = True  # a builder that `--config` means something to


BUILT_IN = (
    Method(
        name="dense",
        summary="The unmodified model: every layer processes every vision token.",
        target="visor_eval.harness.builders:dense",
        configurable=False,
    ),
    Method(
        name="visor",
        summary="VISOR: few self-attention layers, cross-attention between them, a router per sample.",
        target="visor_eval.harness.builders:visor",
        checkpoint="visor-tiny",
    ),
    Method(
        name="visor-tr",
        summary="VISOR on packed vision tokens: 2x, or --pretrained visor-tr4-tiny; training-free on other weights.",
        target="visor_eval.harness.builders:visor_tr",
        checkpoint="visor-tr2-tiny",
    ),
    Method(
        name="visor-zero",
        summary="Training-free: a dense checkpoint under VISOR's layer plan, vision keys re-used between full layers.",
        target="visor_eval.harness.builders:visor_zero",
    ),
)


def methods() -> dict[str, Method]:
    """Every known method by name, built-in ones first. Imports none of them."""
    found = {method.name: method for method in BUILT_IN}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        found.setdefault(point.name, Method(name=point.name, summary=_first_line(point), target=point.value))
    return found


def ready_methods(pretrained: str | None = None) -> tuple[str, ...]:
    """What ``--model all`` runs.

    Args:
        pretrained: None: every method whose embedded checkpoint is there; weights: every method that needs no
            training of its own.
    """
    homes = embedded_names() if pretrained is None else (PLAIN,)
    return tuple(name for name, method in methods().items() if _home(method) in homes)


def parse_model(model: str) -> tuple[Method, ...]:
    """Split ``visor+visionzip`` into its methods.

    Raises:
        SetupError: a name is unknown (the message suggests one) or given twice.
    """
    known = methods()
    names = [name.strip() for name in model.split("+")]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)} (see visor-eval list)"
            raise SetupError(f"unknown method {name!r}: {hint}")
    if len(set(names)) < len(names):
        raise SetupError(f"{model!r} names a method twice")
    return tuple(known[name] for name in names)


def takes_config(model: str) -> bool:
    """Whether ``--config`` means something to a method or composition."""
    return any(method.configurable and not _is_part(_import(method)) for method in parse_model(model))


def default_checkpoint(model: str) -> str:
    """The embedded member that ``model`` runs on where the user names no checkpoint.

    Raises:
        SetupError: the methods composed were made for different members.
    """
    special = sorted({home for method in parse_model(model) if (home := _home(method))} - {PLAIN})
    if len(special) > 1:
        raise SetupError(f"{model}: made for {' and '.join(special)}; name the checkpoint with --pretrained")
    return special[0] if special else PLAIN


def load_engine(
    model: str,
    *,
    pretrained: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    config: str | None = None,
    **model_args: object,
) -> "Engine":
    """Build the engine of a method or composition.

    Args:
        model: e.g. ``visor`` or ``visor+visionzip``.
        pretrained: embedded member, folder or hub id; None: the embedded member made for the method.
        device: torch device.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        config: VISOR configuration, e.g. ``1,4`` or ``router``; None: the method's default.
        **model_args: fields of the parts and options of the builder.

    Raises:
        SetupError: unknown method, wrong checkpoint, options that no part of the composition has.
    """
    builder, classes = _targets(model)
    options, per_part = _deal(model, model_args, builder, classes)
    parts = _make(classes, per_part)
    if pretrained is None:
        for name, make in classes.items():
            if _home(methods()[name]) not in embedded_names() and (needed := getattr(make, "tuned_with", None)):
                raise SetupError(f"{name} runs on {needed}, and none is embedded: name one with --pretrained")
    checkpoint = find_checkpoint(pretrained, default=pretrained or default_checkpoint(model))
    request = BuildRequest(checkpoint=checkpoint.source, device=device, dtype=dtype, config=config, parts=parts)
    return builder(request, **options)


def make_parts(model: str, options: Mapping[str, object]) -> tuple[object, ...]:
    """The reducers and pruners of a composition without a model, e.g. ``visionzip+fastv``, left to right.

    Raises:
        SetupError: unknown method or option, or a method that is a model of its own.
    """
    for method in parse_model(model):
        if not _is_part(_import(method)):
            raise SetupError(f"{method.name} is a model of its own, not a reducer or pruner: load it with load_engine")
    builder, classes = _targets(model)
    others, per_part = _deal(model, options, builder, classes)
    if others:
        raise SetupError(f"{model} does not take {', '.join(others)}")
    return _make(classes, per_part)


def _home(method: Method) -> str | None:
    """The embedded member a method was made for; None where it was trained with and its class names no member."""
    if method in BUILT_IN:
        return method.checkpoint  # its builder would import hub libraries, which read `prepare`'s switches once
    target = _import(method)
    return getattr(target, "checkpoint", None if hasattr(target, "tuned_with") else method.checkpoint)


def _make(
    classes: Mapping[str, Callable[..., object]], per_part: Mapping[str, Mapping[str, object]]
) -> tuple[object, ...]:
    try:
        return tuple(make(**per_part[name]) for name, make in classes.items())
    except (TypeError, ValueError) as error:
        raise SetupError(f"--model_args: {error}") from error


def _is_part(target: object) -> bool:
    return hasattr(target, "reduce") or hasattr(target, "prune")


def _targets(model: str) -> tuple[Callable[..., "Engine"], dict[str, Callable[..., object]]]:
    """The one builder of a composition (dense where none is named) and its parts' classes by name."""
    builders: dict[str, Callable[..., Engine]] = {}
    classes: dict[str, Callable[..., object]] = {}
    for method in parse_model(model):
        target = _import(method)
        if _is_part(target):
            classes[method.name] = target
        else:
            builders[method.name] = target  # type: ignore[assignment]
    if len(builders) > 1:
        raise SetupError(f"{model!r} composes {' and '.join(builders)}; only reducers and pruners compose with a model")
    if not builders:
        builders["dense"] = _import(BUILT_IN[0])  # type: ignore[assignment]
    return next(iter(builders.values())), classes


def _import(method: Method) -> Callable[..., object]:
    module, _, attribute = method.target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SetupError(f"method {method.name!r} cannot be loaded from {method.target}: {error}") from error


def _deal(
    model: str,
    given: Mapping[str, object],
    builder: Callable[..., "Engine"],
    classes: Mapping[str, Callable[..., object]],
) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Deal out ``--model_args``: to each part its fields, the rest to the builder."""
    takes = {name: _fields(make) for name, make in classes.items()}
    own = list(inspect.signature(builder).parameters)[1:]  # the first is the request
    options: dict[str, object] = {}
    per_part: dict[str, dict[str, object]] = {name: {} for name in classes}
    for key, value in given.items():
        owners = [name for name, names in takes.items() if key in names]
        if not owners and key not in own:
            valid = sorted({*own, *(field for names in takes.values() for field in names)})
            close = difflib.get_close_matches(key, valid, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"{model} takes: {', '.join(valid) or 'none'}"
            raise SetupError(f"--model_args: unknown option {key!r}; {hint}")
        for name in owners:
            per_part[name][key] = value
        if key in own:
            options[key] = value
    return options, per_part


def _fields(make: Callable[..., object]) -> list[str]:
    return [field.name for field in fields(make)] if is_dataclass(make) else list(inspect.signature(make).parameters)


def _first_line(point: EntryPoint) -> str:
    """What a method is, in a line, read without importing it: its module's docstring, a later class's its own."""
    try:
        spec = find_spec(point.module)
        module = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))  # type: ignore
    except (ImportError, AttributeError, TypeError, OSError, SyntaxError, ValueError):
        return ""
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    later = next((node for node in classes[1:] if node.name == point.attr), None)
    return (ast.get_docstring(module if later is None else later) or "").partition("\n")[0]
