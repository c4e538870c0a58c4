"""Which checkpoint a method runs on: what the user named, or the member of the embedded family made for it."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from visor_eval.errors import SetupError


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights to load."""

    source: str  # folder or hub id, as the runtime loads it
    label: str  # how records name it: hub id, the folder's own name, or "embedded:<member>"
    embedded: bool

    @property
    def local(self) -> bool:
        """Whether it lies on this machine as a folder."""
        return Path(self.source).is_dir()


def embedded_folder() -> Path:
    """Where the shipped checkpoints lie, one folder each."""
    return Path(str(files("visor_eval") / "checkpoints"))


def embedded_names() -> tuple[str, ...]:
    """Names of the shipped checkpoints, sorted."""
    folder = embedded_folder()
    return tuple(sorted(path.parent.name for path in folder.glob("*/config.json"))) if folder.is_dir() else ()


def read_card(name: str) -> Mapping[str, object]:
    """The card (card.json) of an embedded checkpoint; empty where it has none."""
    try:
        return json.loads((embedded_folder() / name / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SetupError(f"checkpoints/{name}/card.json is damaged ({error}): reinstall visor-eval") from error


def find_checkpoint(pretrained: str | None, *, default: str) -> Checkpoint:
    """Resolve ``--pretrained``.

    Args:
        pretrained: an embedded member's name, a folder, a hub id, or None.
        default: the embedded member to use for None.

    Raises:
        SetupError: nothing there. A hub id is only checked for its form; fetching it is the runtime's work.
    """
    names = embedded_names()
    if pretrained is None or pretrained in names:
        name = pretrained or default
        if name not in names:
            raise SetupError(
                f"the embedded checkpoint {name!r} is not in this installation"
                f"{f' (there are: {chr(44).join(names)})' if names else ''}: "
                "reinstall visor-eval, or pass --pretrained <hub id or folder>"
            )
        return Checkpoint(source=str(embedded_folder() / name), label=f"embedded:{name}", embedded=True)
    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise SetupError(f"{pretrained} holds no config.json, so it is no checkpoint: check --pretrained")
        return Checkpoint(source=str(folder), label=folder.resolve().name, embedded=False)
    if folder.is_absolute() or pretrained.startswith((".", "~")) or pretrained.count("/") != 1:
        close = difflib.get_close_matches(pretrained, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "give a folder, a hub id (owner/name)"
        hint += "" if close or not names else f" or an embedded checkpoint ({', '.join(names)})"
        raise SetupError(f"no checkpoint {pretrained!r}: {hint}")
    return Checkpoint(source=pretrained, label=pretrained, embedded=False)


def parse_pretrained(value: str | None, models: Sequence[str]) -> dict[str, str | None]:
    """Read ``--pretrained``: one value for every model, or one per model (``dense=A,visor=B``).

    Raises:
        SetupError: a value is given for a model that is not run, or twice for one.
    """
    if value is None or "=" not in value:
        return dict.fromkeys(models, value)
    given: dict[str, str] = {}
    for piece in value.split(","):
        model, separator, source = (part.strip() for part in piece.partition("="))
        if not separator or not source or model not in models or model in given:
            raise SetupError(
                f"--pretrained {value}: {piece!r} is no model=checkpoint pair of the models run ({', '.join(models)})"
            )
        given[model] = source
    return {model: given.get(model) for model in models}
