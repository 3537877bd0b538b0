"""What a run keeps while it trains: everything for going on, the weights of its best or last validations for averaging.

`last.ckpt` and the one before it resume a run; `best.ckpt` is what translates, from the first validation on.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from dragoman.errors import InputError, Stopped
from dragoman.run import BEST, LAST, PREVIOUS
from dragoman.tensors import Damaged, out_of_memory, read_tensors, write_tensors
from dragoman.training.early_stopping import has_stopped
from dragoman.training.processes import agreed
from dragoman.weights import read_weights, write_weights

log = logging.getLogger("dragoman")


class Last(NamedTuple):
    """The newest checkpoint that a run can go on from: its file, the steps behind it, whether it had stopped early."""

    path: Path
    step: int
    stopped: bool

    def reaches(self, max_steps: int) -> bool:
        """Whether nothing is left to train; the last but one leaves what the last one held, to be trained again."""
        return self.path.name == LAST and (self.stopped or self.step >= max_steps)


class Kept(NamedTuple):
    """A validation whose weights are on disk."""

    step: int
    bleu: float


class Checkpoints(L.Callback):
    """Saves at every validation and asks for one at the last step, for `average` checkpoints to become one in the end.

    `choose`: best, the validations with the highest BLEU, or last, the latest ones; the single best one is always kept
    too. Between validations it saves every `minutes`, and when training is stopped or runs out of memory. All files are
    written atomically.
    """

    def __init__(self, folder: Path, *, average: int, choose: str, minutes: float) -> None:
        if average < 1 or choose not in ("best", "last"):
            raise ValueError(f"`average` ({average}) must be at least 1 and `choose` ({choose}) best or last.")
        if not minutes > 0:
            raise ValueError(f"`minutes` ({minutes}) must be more than 0.")
        self.folder = folder
        self.average = average
        self.choose = choose
        self.minutes = minutes
        self.kept: list[Kept] = []
        self.validating = False

    def state_dict(self) -> dict[str, Any]:
        kept = {"steps": [one.step for one in self.kept], "bleu": [one.bleu for one in self.kept]}
        return kept | {"validating": self.validating}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = [Kept(*pair) for pair in zip(state_dict["steps"], state_dict["bleu"], strict=True)]
        self.validating = state_dict.get("validating", False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.saved = time.monotonic()
        if self.validating:  # stopped within a validation: Lightning would take it as done
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates once more before it stops where it is asked to
        if not at_step(trainer, batch_idx) or validation_follows(trainer, batch_idx):
            return
        if agreed(trainer, time.monotonic() - self.saved > 60 * self.minutes):
            self.save_last(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validating = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.validating = False
        bleu = trainer.callback_metrics["bleu"].item()
        if math.isnan(bleu):  # the validation failed: nothing is known of these weights
            self.save_last(trainer)
            return
        new = Kept(trainer.global_step, bleu)
        self.kept = [one for one in self.kept if one.step != new.step] + [new]
        weights = whole_weights(trainer)
        if trainer.is_global_zero:
            write_weights(self.path(new), weights, step=new.step, bleu=new.bleu)
            if new == self.best():
                write_weights(self.folder / BEST, weights, step=new.step, bleu=new.bleu)
        needed = {*self.chosen(), self.best()}
        unneeded = [one for one in self.kept if one not in needed]
        self.kept = [one for one in self.kept if one in needed]
        self.save_last(trainer)
        if trainer.is_global_zero:
            for one in unneeded:
                self.path(one).unlink(missing_ok=True)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Saves what is whole: all processes stop together at a step, but alone one of them runs out of memory, within
        one, perhaps with gradients of other batches."""
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        alone = trainer.world_size == 1 and trainer.global_step > 0 and batches % trainer.accumulate_grad_batches == 0
        if isinstance(exception, Stopped) or (alone and out_of_memory(exception)):
            self.save_last(trainer)

    def save_last(self, trainer: L.Trainer) -> None:
        """Write last.ckpt; in all processes, as Lightning asks."""
        trainer.save_checkpoint(self.folder / LAST)
        self.saved = time.monotonic()

    def best(self) -> Kept:
        """The validation with the highest BLEU; the earlier of equals."""
        return max(self.kept, key=lambda one: (one.bleu, -one.step))

    def chosen(self) -> list[Kept]:
        """The validations whose weights are to be averaged."""
        if self.choose == "last":
            return self.kept[-self.average :]
        return sorted(self.kept, key=lambda one: (-one.bleu, one.step))[: self.average]

    def path(self, kept: Kept) -> Path:
        return self.folder / "weights" / f"step-{kept.step}.ckpt"

    def finish(self, model: torch.nn.Module, bleu_now: Callable[[], float]) -> None:
        """Leave in best.ckpt and in `model` the average of the chosen ones, if it wins on validation, else the best.

        A file that has been damaged is left out; without any, the weights stay as the last step made them.
        """
        found = {one: weights for one in self.kept if (weights := self._read(one))}
        self.kept = list(found)
        if not found:
            log.warning("no validation has left weights: those of the last step are kept")
            write_weights(self.folder / BEST, model.state_dict())
            return
        best, chosen = self.best(), self.chosen()
        weights = found[best]
        facts: dict[str, float | str] = {"step": best.step, "bleu": best.bleu}
        if len(chosen) > 1:
            averaged = average([found[one] for one in chosen])
            model.load_state_dict(averaged)
            value = bleu_now()
            steps = ", ".join(str(one.step) for one in sorted(chosen))
            log.info("average of steps %s: %.2f BLEU on validation; best single: %.2f", steps, value, best.bleu)
            if value >= best.bleu:
                weights, facts = averaged, {"step": best.step, "bleu": value, "averaged": steps}
        model.load_state_dict(weights)
        write_weights(self.folder / BEST, weights, **facts)

    def _read(self, kept: Kept) -> dict[str, Tensor] | None:
        try:
            return read_weights(self.path(kept))
        except InputError as error:
            log.warning("%s The validation of step %s is left out.", error, f"{kept.step:,}")
            return None


class CheckedFiles(CheckpointIO):
    """How Lightning writes last.ckpt, and reads it: the one that was there becomes last-previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        fresh = path.with_name(f".{path.name}.new")
        write_tensors(fresh, checkpoint)
        if path.exists():
            os.replace(path, path.with_name(PREVIOUS))
        os.replace(fresh, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_tensors(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def last_whole(folder: Path) -> Last | None:
    """The newest checkpoint that a run can go on from; a damaged one is told and passed over.

    InputError if there is none but damaged ones.
    """
    damaged = []
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            if path.exists():
                content = read_tensors(path)
                return Last(path, content["global_step"], has_stopped(content["callbacks"]))
        except Damaged:
            damaged.append(path.name)
            log.warning("%s is damaged: looking for the one before it", path)
    if damaged:
        raise InputError(
            f"{folder}: {' and '.join(damaged)} cannot be read: remove them to train anew, or begin another run from"
            f" its best weights with init={folder}."
        )
    return None


def at_step(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether the optimizer has just stepped."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def validation_follows(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether Lightning validates behind this batch; what is saved before that would go on without it."""
    due = trainer.val_check_batch
    return (due is not None and (batch_idx + 1) % due == 0) or trainer.global_step == trainer.max_steps


def whole_weights(trainer: L.Trainer) -> dict[str, Tensor]:
    """The model's, in one piece on the first process, however they are spread."""
    return of_model(trainer.strategy.lightning_module_state_dict())


def of_model(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The task's weights, which are those of its model, by the model's own names."""
    return {name.removeprefix("model."): tensor for name, tensor in weights.items()}


def average(checkpoints: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every tensor, taken in double precision: Vaswani et al. 2017, section 6.1."""
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints]).mean(0).to(tensor.dtype)
        for name, tensor in checkpoints[0].items()
    }
