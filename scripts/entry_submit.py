"""The jobs of a sweep by submitit, which brings them to a SLURM cluster or into processes of their own.

`hydra/launcher=submitit_slurm` and `submitit_local` are Hydra's, and so are their keys; but Hydra's launcher makes a
folder and a log for each job, and one job that is killed loses it the results of all. So its settings are read, and
submitit is called, here.
"""

import logging
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import submitit
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from submitit.core.utils import UncompletedJobError
from submitit.helpers import Checkpointable

from dragoman.errors import InputError
from entry_literals import Literals
from entry_sweep import Function, Job, Outcome, attempt, tell

CLUSTERS = {
    f"hydra_plugins.hydra_submitit_launcher.submitit_launcher.{name}Launcher": name.lower()
    for name in ("Local", "Slurm")
}
COMMON = {field.name for field in fields(BaseQueueConf)}  # settings that mean the same on each

log = logging.getLogger(__name__)


class Attempt(Checkpointable):
    """What submitit calls with a job; with the same job again, where it is preempted or its time is over."""

    def __init__(self, function: Function, literals: Literals) -> None:
        self.function = function
        self.literals = literals

    def __call__(self, job: Job) -> Outcome:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
        outcome = attempt(self.function, job, self.literals)
        tell(outcome)
        return outcome


def submit(function: Function, jobs: list[Job], launcher: dict[str, Any], literals: Literals) -> list[Outcome]:
    """Submits all, waits, and tells what became of each. Ctrl-C cancels them."""
    executor = executor_of(launcher)
    # What is pickled names modules of the scripts' folder, where an interpreter of its own does not look.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        submitted = executor.map_array(Attempt(function, literals), jobs)
    except (RuntimeError, ValueError) as error:
        raise cannot(error) from error
    for number, (job, handle) in enumerate(zip(jobs, submitted, strict=True), 1):
        log.info(f"Job {number} of {len(jobs)}: {job.title}, log {handle.paths.stderr}")
    try:
        return [await_outcome(job, handle) for job, handle in zip(jobs, submitted, strict=True)]
    except KeyboardInterrupt:
        for handle in submitted:
            handle.cancel(check=False)
        raise


def executor_of(launcher: dict[str, Any]) -> submitit.Executor:
    """Hydra's settings in submitit's terms: those of one cluster alone have its name before theirs."""
    settings = dict(launcher)
    target, folder = settings.pop("_target_"), settings.pop("submitit_folder", "")
    if target not in CLUSTERS:
        raise InputError(f"hydra/launcher ({target}) must be basic, submitit_slurm or submitit_local.")
    if "%" in str(Path(folder).absolute().parent):
        raise InputError(
            f"hydra.launcher.submitit_folder ({folder}) must hold no % before its last part: SLURM would take it for "
            "a number that is to be filled in; choose another name or folder."
        )
    cluster = CLUSTERS[target]
    own = {f"{cluster}_{key}": settings.pop(key) for key in list(settings) if key not in COMMON}
    retries = {key: own.pop(key) for key in list(own) if key.endswith("max_num_timeout")}  # not a parameter of a job
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster, **retries)
        executor.update_parameters(**settings, **own)
    except (RuntimeError, ValueError) as error:
        raise cannot(error) from error
    return executor


def cannot(error: Exception) -> InputError:
    return InputError(f"The jobs cannot be submitted (hydra/launcher, hydra.launcher): {' '.join(str(error).split())}")


def await_outcome(job: Job, handle: submitit.Job[Outcome]) -> Outcome:
    """Of its first task, which has the results where several processes train together."""
    try:
        outcome = handle.task(0).result()
    except UncompletedJobError:
        state, path = handle.state.lower(), handle.task(0).paths.stderr
        outcome = Outcome(job, None, f"The job ended without a result ({state}); see {path}.")
    tell(outcome)
    return outcome
