"""Find a checkpoint's files: a folder stays where it is, a hub id is fetched (safetensors only, never pickle)."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import safe_open
from torch import Tensor

from visor_eval.errors import SetupError

WANTED = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
PROCESSOR = (  # what decides, beside config.json and the weights, on a model's input and on where its answers end
    *("*processor_config.json", "chat_template.*", "generation_config.json", "tokenizer*", "*.model"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
)


def checkpoint_folder(pretrained: str | Path) -> Path:
    """The local folder of a checkpoint, given as a folder or a hub id.

    Raises:
        SetupError: nothing there, no network, or no config.json.
    """
    folder = Path(pretrained).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or str(pretrained).startswith((".", "~")):
            raise SetupError(f"no checkpoint folder {pretrained}: check --pretrained")
        try:
            folder = Path(snapshot_download(str(pretrained), allow_patterns=WANTED))
        except HFValidationError as error:
            raise SetupError(f"{pretrained!r} is neither a folder nor a hub id: check --pretrained") from error
        except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            raise SetupError(
                f"checkpoint {pretrained!r} is no local folder and cannot be fetched from the hub "
                f"({type(error).__name__}): download it where there is a network and pass the folder as --pretrained"
            ) from error
    if not (folder / "config.json").is_file():
        raise SetupError(f"{folder} holds no config.json, so it is no checkpoint: check --pretrained")
    return folder


def read_config(folder: Path) -> dict[str, object]:
    """The parsed config.json of a checkpoint folder."""
    try:
        return json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"{folder}/config.json cannot be read ({error}): fetch the checkpoint again") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder, in name order.

    Raises:
        SetupError: there is none (pickled weights are refused).
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SetupError(
            f"{folder} holds no .safetensors weights; convert the checkpoint (pickle files are not loaded)"
        )
    return files


def tensors_with_prefix(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Every tensor of the checkpoint whose name starts with ``prefix``, the prefix removed."""
    found = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                    if name.startswith(prefix):
                        found[name.removeprefix(prefix)] = tensors.get_tensor(name)
        except Exception as error:  # safetensors raises its own bare exception type
            raise SetupError(f"{file} is damaged ({error}): fetch the checkpoint again") from error
    return found


def weights_hash(folder: Path) -> str:
    """Sha256 over config.json and all weight files: what a result belongs to."""
    return _hash([folder / "config.json", *weight_files(folder)])


def processor_hash(folder: Path) -> str:
    """Sha256 over the files in which a checkpoint says how images and text become its input; absent ones count, too."""
    return _hash(sorted({file for pattern in PROCESSOR for file in folder.glob(pattern) if file.is_file()}))


def _hash(files: Iterable[Path]) -> str:
    """Sha256 over names and contents."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()
