"""What ends a command without being a bug; knows nothing of who raises or prints it."""

LONGEST = 900  # characters


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the subject (file and line, or key), its value, the law it breaks and what
    to change, on one line and of some length whatever is quoted in it. `scripts/` prints it without a traceback and
    exits with status 1.
    """

    def __init__(self, sentence: str) -> None:
        line = " ".join(sentence.splitlines())
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}")


class Stopped(BaseException):
    """A signal asked for an end, and all there was to save is saved. `scripts/` prints the sentence and exits with
    status 128 + `number`, as a process does that the signal has ended."""

    def __init__(self, sentence: str, number: int) -> None:
        super().__init__(sentence)
        self.number = number
