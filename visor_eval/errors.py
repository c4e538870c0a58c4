"""The one error a user can fix, and what other errors say in a line."""


class SetupError(Exception):
    """Something the user can put right; the message names the remedy.

    The command line prints it as one line, without a traceback, and exits with 2.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
