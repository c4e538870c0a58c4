"""The manifest beside a suite's frozen data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visor_eval.errors import SetupError


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """What `visor_tasks.mini.freeze` wrote: hashes, counts, blind answers; empty where the folder has no manifest.

    Raises:
        SetupError: the file is damaged.
    """
    try:
        return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SetupError(f"{folder / 'manifest.json'} is damaged ({error}): reinstall visor-eval") from error
