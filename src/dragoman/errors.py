"""The one exception that is the user's to mend; knows nothing of who raises or prints it."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the subject (file and line, or key), its value, the law it breaks and what
    to change. `scripts/` prints it without a traceback and exits with status 1.
    """
