"""Steps that would spoil the weights: left out, counted, written down; beyond a number of them training stops."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from dragoman.data.batch import Batch
from dragoman.errors import InputError
from dragoman.files import write_json
from dragoman.training.checkpoints import at_step
from dragoman.training.processes import is_first

log = logging.getLogger("dragoman")

LOOK_EVERY = 50  # optimizer steps on a GPU, which would have to be waited for


class Guard(L.Callback):
    """Tells of each step that `TranslationTask` left out, and writes its batches to unsound-step-N.json.

    More than `drops` of them end the training, with the weights as the last sound step left them.
    """

    def __init__(self, folder: Path, *, drops: int) -> None:
        if drops < 0:
            raise ValueError(f"`drops` ({drops}) must be at least 0.")
        self.folder = folder
        self.drops = drops
        self.dropped = 0
        self.recent: list[tuple[int, list[Batch], Tensor]] = []  # step, its batches, whether it was left out
        self.gathering: list[Batch] = []

    def state_dict(self) -> dict[str, Any]:
        return {"dropped": self.dropped + sum(int(unsound) for _, _, unsound in self.recent)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.dropped = state_dict["dropped"]

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        if self.dropped > self.drops:
            raise InputError(f"{self.dropped} steps were left out: {self.advice()}.")

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if self.recent:
            self._look(trainer)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        self.gathering.append(batch)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not at_step(trainer, batch_idx):
            return
        self.recent.append((trainer.global_step, self.gathering, pl_module.unsound))
        self.gathering = []
        waiting = pl_module.unsound.is_cuda and len(self.recent) < LOOK_EVERY
        if not waiting or trainer.global_step == trainer.max_steps:
            self._look(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        recent, self.recent = self.recent, []
        flags = torch.stack([unsound for _, _, unsound in recent]).tolist()
        for (step, batches, _), unsound in zip(recent, flags, strict=True):
            if unsound:
                self._tell(trainer, step, batches)

    def _tell(self, trainer: L.Trainer, step: int, batches: list[Batch]) -> None:
        self.dropped += 1
        path = self.folder / f"unsound-step-{step}.json"
        if is_first():
            write_json(path, readable(trainer, batches))
        limit = trainer.lightning_module.highest_loss
        what = (
            f"The loss or the gradient of step {step:,} is not a number, or too large (`highest_loss`: {limit} nats per"
            f" token); its sentences are in {path}"
        )
        if self.dropped > self.drops:
            raise InputError(f"{what}: {self.advice()}.")
        log.warning("%s. It was left out, as %d of at most %d.", what, self.dropped, self.drops)

    def advice(self) -> str:
        """What makes another run, which may begin from this one, and what lets this one go on."""
        return (
            "under another `name=` lower `optimizer.lr`, lengthen `schedule.warmup_steps` or take"
            f" trainer.precision=32-true, or allow more such steps here (`callbacks.guard.drops`, {self.drops})"
        )

    def shapes(self) -> str:
        """Of the batch that is being computed."""
        if not self.gathering:
            return "no batch"
        (B, S), (_, T) = (side.shape for side in self.gathering[-1])
        return f"a batch of {B} sentences with up to {S} source and {T} target tokens"


def readable(trainer: L.Trainer, batches: list[Batch]) -> list[dict[str, str]]:
    """The sentences of the first process as the tokenizers read them."""
    sides = trainer.datamodule.tokenizers  # type: ignore[attr-defined]
    pairs = [pair for batch in batches for pair in zip(batch.src_BS.tolist(), batch.tgt_BT.tolist(), strict=True)]
    return [
        {name: tokenizer.decode(ids) for name, tokenizer, ids in zip(("source", "target"), sides, pair, strict=True)}
        for pair in pairs
    ]
