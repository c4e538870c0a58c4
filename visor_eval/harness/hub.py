"""The Hugging Face libraries' settings. They read them when they are imported, so this comes before."""

import logging
import os
import socket
from urllib.parse import urlparse
from urllib.request import getproxies

logger = logging.getLogger(__name__)


def prepare(*, offline: bool) -> None:
    """No download counter, no bars; no network where none is needed or there is none.

    A hub that cannot be reached costs 20 s of retries per data set. So its name is looked up once; without an answer
    the libraries are told to work offline: what is cached is used, and what is missing is named at once.

    Args:
        offline: everything this process needs is on disk.
    """
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    elif "HF_HUB_OFFLINE" not in os.environ and not hub_in_reach():
        logger.info("the hub is out of reach; working with what is on this machine")
        os.environ["HF_HUB_OFFLINE"] = "1"


def hub_in_reach() -> bool:
    """Whether the hub's name resolves, or a proxy may know it."""
    if getproxies():
        return True
    host = urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
