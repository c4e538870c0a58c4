"""Where a run's numbers come from: code, packages, machine, command. No home folders, no index hosts, no host name."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visor_eval.records.schema import Record

PACKAGES = (
    "visor-eval",
    "lmms-eval",
    "torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
)

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_ABSOLUTE = re.compile(r"(?<![\w./~<-])/(?:[^/\s:,=]+/)*[^/\s:,=]*")


@dataclass(frozen=True, kw_only=True)
class Provenance(Record):
    """Code and machine of one run."""

    commit: str | None  # git commit of the project (40 hex digits), None outside a git checkout
    dirty: bool | None  # whether tracked or new files differed from that commit, None outside a git checkout
    packages: Mapping[str, str]  # distribution -> version, of those installed
    python: str  # e.g. "3.11.9"
    platform: str  # operating system and architecture
    cpu_count: int | None  # logical CPUs that this process may use
    device: str  # as given by the caller, e.g. "cpu" or "cuda:0 (NVIDIA H100)"
    command: tuple[str, ...]  # program name and arguments, paths shortened
    utc: str  # ISO 8601, seconds


def collect_provenance(
    *, device: str, command: Sequence[str] | None = None, packages: Sequence[str] = PACKAGES
) -> Provenance:
    """Describe this process.

    Args:
        device: what the model runs on, in words.
        command: program and arguments; default ``sys.argv``.
        packages: distributions whose versions are recorded; those not installed are left out.
    """
    import platform  # imported where used: these modules would double the start-up time of every command

    commit, dirty = git_state()
    argv = list(sys.argv if command is None else command)
    return Provenance(
        commit=commit,
        dirty=dirty,
        packages=_versions(packages),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu_count=_usable_cpus(),
        device=device,
        command=(Path(argv[0]).name, *(str(without_paths(arg)) for arg in argv[1:])) if argv else (),
        utc=utc_now(),
    )


def utc_now() -> str:
    """Return the time in UTC, ISO 8601, seconds."""
    import datetime

    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_state(folder: Path | None = None) -> tuple[str | None, bool | None]:
    """Return (commit, dirty) of the project's checkout, or (None, None) where there is none.

    Args:
        folder: default: the folder that holds the ``visor_eval`` package. An installed wheel inside some other
            repository (a virtual environment) is not mistaken for a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    root = package.parent if folder is None else folder
    if folder is None and not (root / "pyproject.toml").is_file():
        return None, None
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain")
    return (commit, bool(status)) if commit is not None and status is not None else (None, None)


def without_paths(value: object) -> object:
    """Shorten absolute paths and URLs in strings, also inside dictionaries, lists and tuples.

    Paths under the working directory become relative, others keep only their last part (``.../name``); URLs keep only
    scheme and last part, so that no home folder, user name or index host is recorded.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(without_paths(item) for item in value)
    if isinstance(value, Path):
        return without_paths(str(value))
    if not isinstance(value, str):
        return value
    value = _URL.sub(lambda match: f"{match[0].split('://')[0]}:.../{match[0].rstrip('/').rsplit('/', 1)[-1]}", value)
    value = re.sub(r"(?<![\w/])~(?:[\w.-]*)/\S*", lambda match: f".../{Path(match[0]).name}", value)
    return _ABSOLUTE.sub(lambda match: _shorten(match[0]), value)


def _shorten(path: str) -> str:
    if path == "/":
        return path
    here = str(Path.cwd())
    if path == here:
        return "."
    if here != "/" and path.startswith(here + "/"):
        return path[len(here) + 1 :] or "."
    return f".../{Path(path).name}"


def _git(folder: Path, *arguments: str) -> str | None:
    import subprocess

    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions(packages: Sequence[str]) -> dict[str, str]:
    import importlib.metadata

    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
