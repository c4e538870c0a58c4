"""The one error a user can fix."""


class SetupError(Exception):
    """Something the user can put right; the message names the remedy.

    The command line prints it as one line, without a traceback, and exits with 2.
    """
