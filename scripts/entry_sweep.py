"""The jobs of a sweep: each is tried; one that fails is told of and does not end the others.

They run here, one after the other, unless `hydra/launcher` says otherwise: `entry_submit.py`.
"""

import errno
import logging
import os
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from dragoman.errors import InputError, Stopped
from entry_literals import Literals

RAW = os.environ.get("HYDRA_FULL_ERROR") == "1"
EXPECTED: tuple[type[BaseException], ...] = () if RAW else (InputError, OSError, KeyboardInterrupt, Stopped)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, or what one may have of it
HERE = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"

Function = Callable[[dict[str, Any]], object]

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One call of the script's function."""

    swept: dict[str, str]  # key → value, both as on the command line; empty in a single run
    config: dict[str, Any]

    @property
    def title(self) -> str:
        return label(self.swept) or "as given"


class Outcome(NamedTuple):
    """What the function returned for a job, or a sentence on why it failed."""

    job: Job
    result: Any
    error: str | None = None
    trace: str = ""  # where an exception came from that nobody expected


def label(swept: dict[str, str]) -> str:
    """Sorted, and safe as a folder name: "model.dim=64,seed=1"."""
    return ",".join(sorted(f"{quote(key, safe='@')}={quote(value, safe='')}" for key, value in swept.items()))


def run_jobs(function: Function, jobs: list[Job], launcher: dict[str, Any], literals: Literals) -> list[Outcome]:
    """What became of each, in their order; `launcher` is Hydra's node of that name."""
    if launcher["_target_"] == HERE:
        outcomes = run_here(function, jobs, literals)
    else:
        from entry_submit import submit  # here: who has no cluster need not have submitit

        outcomes = submit(function, jobs, launcher, literals)
    failed = sum(outcome.error is not None for outcome in outcomes)
    log.info(f"{len(jobs) - failed} of {len(jobs)} jobs done, {failed} failed.")
    return outcomes


def run_here(function: Function, jobs: list[Job], literals: Literals) -> list[Outcome]:
    outcomes = []
    for number, job in enumerate(jobs, 1):
        log.info(f"Job {number} of {len(jobs)}: {job.title}")
        outcomes.append(attempt(function, job, literals))
        tell(outcomes[-1])
    return outcomes


def attempt(function: Function, job: Job, literals: Literals) -> Outcome:
    """Calls the function; only Ctrl-C, an exit and a reader of stdout who left are no failure of the job alone."""
    try:
        return Outcome(job, function(job.config))
    except BrokenPipeError:
        raise
    except Exception as error:
        trace = "" if isinstance(error, EXPECTED) else traceback.format_exc()
        return Outcome(job, None, literals.restore(sentence(error)), trace)


def tell(outcome: Outcome) -> None:
    """On stderr, if the job failed."""
    if outcome.error is not None:
        log.error(f"{outcome.trace}{outcome.job.title}: {outcome.error}")


def sentence(error: BaseException) -> str:
    """An exception as a user is told of it."""
    match error:
        case KeyboardInterrupt():
            return "Interrupted."
        case OSError(strerror=str(reason), filename=filename):
            remedy = " Make room on the disk and give the command again." if error.errno in FULL else ""
            return (f"{reason}: {filename}." if filename is not None else f"{reason}.") + remedy
        case InputError() | OSError() | Stopped():
            return str(error)
        case _:
            return " ".join(f"{type(error).__name__}: {error}".split())
