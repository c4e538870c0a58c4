"""The folder that plain `lmms-eval --include_path` takes."""

import os
import tempfile
from pathlib import Path

from visor_eval.errors import SetupError
from visor_eval.harness.resume import file_hashes
from visor_tasks.lmms_yaml import write_suites


def tasks_path() -> Path:
    """Write the task definitions into the user's cache, once per content, and return their folder.

    Raises:
        SetupError: lmms-eval is missing, or the cache cannot be written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visor-eval"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            written = write_suites(Path(scratch) / "tasks")
            name = file_hashes({file.name: file for file in sorted(written.glob("*.yaml"))})[:12]
            folder = base / f"tasks-{name}"
            if not folder.is_dir():
                written.rename(folder)
    except LookupError as error:
        raise SetupError(str(error)) from error
    except OSError as error:
        raise SetupError(
            f"cannot write the task definitions below {base} ({error.strerror or error}): set XDG_CACHE_HOME"
        ) from error
    return folder
