"""Ctrl-C, SIGTERM, and SIGUSR1, by which SLURM announces the end of a job: save first, then stop."""

import logging
import signal
from types import FrameType
from typing import Any

import lightning as L

from dragoman.errors import Stopped
from dragoman.training.checkpoints import at_step, validation_follows
from dragoman.training.processes import agreed, wished

log = logging.getLogger("dragoman")

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopOnSignal(L.Callback):
    """Raises `Stopped` after the optimizer step, or the validation batch or translation, that a signal fell into.

    `Checkpoints` saves then; this one comes behind it. A second Ctrl-C ends the process at once. Takes the place of
    Lightning's own handlers, which save nothing on SIGTERM and make every step of several processes wait for all.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.before = {number: signal.signal(number, self.heed) for number in HEEDED}
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def heed(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if number == signal.SIGINT and self.asked is not None:
            raise KeyboardInterrupt
        self.asked = number
        log.warning("%s: stopping as soon as all is saved; Ctrl-C again stops at once", signal.Signals(number).name)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not at_step(trainer, batch_idx) or validation_follows(trainer, batch_idx):
            return
        if agreed(trainer, self.asked is not None):
            self._stop(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_validating(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._stop_validating(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if goes_on(trainer) and wished(trainer, self.asked is not None):
            self._stop(trainer)

    def _stop_validating(self, trainer: L.Trainer) -> None:
        """Several processes, which are not at the same batch, finish it first."""
        if trainer.world_size == 1 and goes_on(trainer) and self.asked is not None:
            self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        number = self.asked or signal.SIGTERM
        name = signal.Signals(number).name
        step = f"{trainer.global_step:,}"
        raise Stopped(f"Stopped by {name} at step {step}, where the same command goes on.", number)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


def goes_on(trainer: L.Trainer) -> bool:
    """Whether a step is left: without one, a training ends by itself sooner than by a signal."""
    return trainer.global_step < trainer.max_steps and not trainer.should_stop
