"""Dragoman, by the road that `scripts/train.py` takes, without validation and checkpoints.

With `job.same` it writes the weights that it begins with and the batches that it trains on, for `plain.py`.
"""

import dragoman  # before torch, which asks but once how to ask for memory

# isort: split
import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import torch
from datasets import Dataset
from job import Clock, read_job
from staging import MECHANISMS

from dragoman.data.batch import Batch
from dragoman.data.module import TranslationData
from dragoman.data.stored import Stored
from dragoman.models import Transformer
from dragoman.text.lines import read_lines
from dragoman.text.splits import Proportions, Splits
from dragoman.text.tokenizer import Tokenizers
from dragoman.training.fit import make_trainer
from dragoman.training.fused_loss import FusedLoss
from dragoman.training.guard import Guard
from dragoman.training.loss import count_targets
from dragoman.training.progress import ShowProgress
from dragoman.training.schedule import inverse_sqrt
from dragoman.training.task import TranslationTask
from dragoman.training.train import quiet_lightning


class Watch(L.Callback):
    """Tells the clock of each step; keeps the batches if they are wanted."""

    def __init__(self, clock: Clock, kept: list[Batch] | None) -> None:
        self.clock = clock
        self.kept = kept

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        tokens = int(count_targets(batch.tgt_BT))
        self.clock.step(tokens, float(outputs["loss"]) / tokens)
        if self.kept is not None:
            self.kept.append(batch)


def make_data(job: SimpleNamespace) -> TranslationData:
    folder = Path(job.data)
    text = Dataset.from_dict({side: list(read_lines(folder / f"text.{side}")) for side in ("source", "target")})
    few = text.select(range(10))
    reading = Stored(batch_tokens=job.batch_tokens, max_length=job.max_length)
    splits = Splits(text, few, few)
    return TranslationData(splits, Tokenizers.load(folder), reading, Proportions(), seed=job.seed, num_workers=0)


def make_task(job: SimpleNamespace) -> TranslationTask:
    recipe = job.recipe
    optimizer = {"lr": recipe["lr"], "betas": recipe["betas"], "eps": recipe["eps"], "weight_decay": 0.0}
    return TranslationTask(
        model=Transformer(**job.model, **MECHANISMS),
        optimizer=partial(torch.optim.AdamW, fused=True, **optimizer),
        schedule=partial(inverse_sqrt, warmup_steps=recipe["warmup_steps"]),
        label_smoothing=recipe["label_smoothing"],
        criterion=FusedLoss(positions="auto"),
        highest_loss=100.0,
        seed=job.seed,
    )


def main() -> None:
    job, clock = read_job(), Clock()
    quiet_lightning()
    logging.getLogger("dragoman").setLevel(logging.ERROR)
    torch.manual_seed(job.seed)
    data, task = make_data(job), make_task(job)
    kept: list[Batch] | None = [] if job.same else None
    weights = {name: tensor.clone() for name, tensor in task.model.state_dict().items()} if job.same else None
    settings = {
        "_target_": "lightning.Trainer",
        "_partial_": True,
        "accelerator": "cpu",
        "devices": 1,
        "precision": {"fp32": "32-true", "bf16": "bf16-mixed"}[job.precision],
        "max_steps": job.steps,
        "val_check_interval": job.steps + 1,
        "accumulate_grad_batches": 1,
        "gradient_clip_val": job.recipe["clip"],
    }
    folder = Path(job.scratch)
    watching = [Guard(folder, drops=0), ShowProgress(every=50), Watch(clock, kept)]
    make_trainer({"trainer": settings, "logger": {}}, folder, watching).fit(task, data)
    if job.same:
        torch.save({"weights": weights, "batches": [tuple(batch) for batch in kept or []]}, job.same)
    clock.answer(job, getattr(dragoman, "__version__", "here"))


if __name__ == "__main__":
    main()
