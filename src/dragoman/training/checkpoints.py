"""What a run keeps while it trains: everything for going on, the weights of its best or last validations for averaging.

`last.ckpt` and the one before it resume a run; `best.ckpt` is what translates, from the first validation on.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from dragoman.run import BEST, LAST, PREVIOUS, read_weights, write_weights

log = logging.getLogger("dragoman")


class Kept(NamedTuple):
    """A validation whose weights are on disk."""

    step: int
    bleu: float


class Checkpoints(L.Callback):
    """Saves at every validation and asks for one at the last step, for `average` checkpoints to become one in the end.

    `choose`: best, the validations with the highest BLEU, or last, the latest ones; the single best one is always kept
    too. All files are written atomically.
    """

    def __init__(self, folder: Path, *, average: int, choose: str) -> None:
        if average < 1 or choose not in ("best", "last"):
            raise ValueError(f"`average` ({average}) must be at least 1 and `choose` ({choose}) best or last.")
        self.folder = folder
        self.average = average
        self.choose = choose
        self.kept: list[Kept] = []

    def state_dict(self) -> dict[str, Any]:
        return {"steps": [one.step for one in self.kept], "bleu": [one.bleu for one in self.kept]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = [Kept(*pair) for pair in zip(state_dict["steps"], state_dict["bleu"], strict=True)]

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates once more before it stops where it is asked to

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        new = Kept(trainer.global_step, trainer.callback_metrics["bleu"].item())
        self.kept = [one for one in self.kept if one.step != new.step] + [new]
        if trainer.is_global_zero:
            weights = pl_module.model.state_dict()
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

    def save_last(self, trainer: L.Trainer) -> None:
        """Write last.ckpt; the one that was there becomes last-previous.ckpt. On all ranks, as Lightning asks."""
        partial = self.folder / f".{LAST}.partial"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            if (self.folder / LAST).exists():
                os.replace(self.folder / LAST, self.folder / PREVIOUS)
            os.replace(partial, self.folder / LAST)

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
        """Leave in best.ckpt and in `model` the average of the chosen ones, if it wins on validation, else the best."""
        best, chosen = self.best(), self.chosen()
        weights = read_weights(self.path(best))
        facts: dict[str, float | str] = {"step": best.step, "bleu": best.bleu}
        if len(chosen) > 1:
            averaged = average([read_weights(self.path(one)) for one in chosen])
            model.load_state_dict(averaged)
            value = bleu_now()
            steps = ", ".join(str(one.step) for one in sorted(chosen))
            log.info("average of steps %s: %.2f BLEU on validation; best single: %.2f", steps, value, best.bleu)
            if value >= best.bleu:
                weights, facts = averaged, {"step": best.step, "bleu": value, "averaged": steps}
        model.load_state_dict(weights)
        write_weights(self.folder / BEST, weights, **facts)


def average(checkpoints: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every tensor, taken in double precision: Vaswani et al. 2017, section 6.1."""
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints]).mean(0).to(tensor.dtype)
        for name, tensor in checkpoints[0].items()
    }
