"""What a contender is told and what it answers, whatever environment it runs in: nothing but the standard library."""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

PAD, BOS, EOS = 0, 1, 2


def read_job() -> SimpleNamespace:
    """The fields of the JSON file named on the command line; those that hold other fields stay dictionaries."""
    return SimpleNamespace(**json.loads(Path(sys.argv[1]).read_text()))


def read_ids(job: SimpleNamespace, side: str) -> list[list[int]]:
    """Of each sentence of a side, without BOS and EOS."""
    lines = (Path(job.data) / f"ids.{side}").read_text().splitlines()
    return [[int(piece) for piece in line.split()] for line in lines]


def peak_memory() -> int:
    """The most bytes that this process held. Its `ru_maxrss` would begin with those of the process that started it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


class Clock:
    """When each optimizer step ended, how many target tokens, EOS included, were in it, and their mean loss."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.tokens: list[int] = []
        self.losses: list[float] = []

    def step(self, tokens: int, loss: float) -> None:
        self.times.append(time.perf_counter())
        self.tokens.append(tokens)
        self.losses.append(loss)

    def answer(self, job: SimpleNamespace, version: str) -> None:
        """Speed over the steps behind the first `warm_up`, and the most memory that this process held."""
        if len(self.times) != job.steps:
            sys.exit(f"{len(self.times)} steps were taken, not {job.steps}.")
        seconds = self.times[-1] - self.times[job.warm_up - 1]
        found = {
            "version": version,
            "speed": sum(self.tokens[job.warm_up :]) / seconds,
            "tokens in a step": sum(self.tokens) / len(self.tokens),
            "memory": peak_memory(),
            "losses": self.losses,
        }
        Path(job.answer).write_text(json.dumps(found))
