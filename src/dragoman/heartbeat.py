"""A sign of life in a log: long work says at least every minute that it goes on."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE = 50.0  # seconds without a line, after which there is one all the same
BEAT = "still at work after %s, since: %s"


class LastLine(logging.Handler):
    """When the logger spoke last, and what it said but for beats; writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.time, self.text = time.monotonic(), "the start"

    def emit(self, record: logging.LogRecord) -> None:
        self.time = time.monotonic()
        if record.msg != BEAT:
            self.text = record.getMessage()


@contextmanager
def heartbeat(log: logging.Logger, *, silence: float = SILENCE) -> Iterator[None]:
    """While it lasts, a line whenever the logger has been silent; none on a terminal, where progress is drawn."""
    if sys.stderr.isatty():
        yield
        return
    began, over, last = time.monotonic(), threading.Event(), LastLine()

    def beat() -> None:
        while not over.wait(max(0.01, last.time + silence - time.monotonic())):
            if time.monotonic() - last.time >= silence:
                log.info(BEAT, clock(time.monotonic() - began), last.text)

    thread = threading.Thread(target=beat, daemon=True)
    log.addHandler(last)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        log.removeHandler(last)


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
