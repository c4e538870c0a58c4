"""Printing, in one place."""

import sys


def say(text: str) -> None:
    """Print to the user."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print beside the results, so that piped output stays clean."""
    print(text, file=sys.stderr, flush=True)
