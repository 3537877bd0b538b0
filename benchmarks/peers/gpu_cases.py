"""The cases of `benchmarks/gpu.py`, each run by a process of its own: Dragoman's own loop, and the one that everybody
writes."""

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from peers.staging import MECHANISMS
from torch import nn
from torch.nn import functional as F

from dragoman.attention import PLACES
from dragoman.build import build
from dragoman.data.batch import Batch
from dragoman.data.draws import Draws
from dragoman.data.module import TranslationData
from dragoman.data.reading import Fetching
from dragoman.data.sampler import START
from dragoman.data.stored import Stored, StoredStream
from dragoman.data.tokenised import Tokenised
from dragoman.ids import PAD
from dragoman.models import Transformer
from dragoman.text.splits import Proportions, Splits
from dragoman.training.compiled import compile_parts
from dragoman.training.fit import make_trainer
from dragoman.training.flops import SIDES, product_rate
from dragoman.training.guard import Guard
from dragoman.training.progress import ShowProgress
from dragoman.training.schedule import inverse_sqrt
from dragoman.training.task import TranslationTask
from dragoman.training.train import quiet_lightning

sys.path.append(str(Path(__file__).parent))

RECIPE = {"lr": 5e-4, "betas": (0.9, 0.98), "eps": 1e-9, "weight_decay": 0.0}
CLIP, SMOOTHING, WARM_UP, WORKERS, SEED = 1.0, 0.1, 4000, 2, 1
LOSSES = Path(__file__).parents[2] / "configs" / "loss"
NEVER = 1 << 30  # optimizer steps


class Stopwatch:
    """Told of each optimizer step; after the warm-up it times windows of about as many seconds each."""

    def __init__(self, device: str, warm_up: int, windows: int, seconds: float) -> None:
        self.device = device
        self.warm_up, self.windows, self.seconds = max(2, warm_up), windows, seconds
        self.steps, self.per_window, self.speeds = 0, NEVER, [0.0] * 0
        self.moments: list[float] = []  # at which the steps of the second half of the warm-up ended
        self.began = time.perf_counter()

    def synchronise(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step(self, tokens: Callable[[], Any]) -> bool:
        """`tokens`: those of all steps so far. Whether the last window is over."""
        self.steps += 1
        if self.warm_up // 2 <= self.steps <= self.warm_up:
            self.moments.append(self.synchronise())
        if self.steps == self.warm_up:
            self._begin(float(tokens()))
        elif self.steps > self.warm_up and (self.steps - self.warm_up) % self.per_window == 0:
            now, all_tokens = self.synchronise(), float(tokens())
            self.speeds.append((all_tokens - self.tokens) / (now - self.since))
            self.since, self.tokens = now, all_tokens
        return len(self.speeds) >= self.windows

    def _begin(self, tokens: float) -> None:
        self.since, self.tokens = self.synchronise(), tokens
        self.per_window = max(3, round(self.seconds / float(np.median(np.diff(self.moments)))))
        self.ready, self.graphs = self.since - self.began, graphs()
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def answer(self, model: nn.Module, attention: str) -> dict[str, Any]:
        return {
            "speeds": self.speeds,
            "steps in a window": self.per_window,
            "ready": self.ready,
            "graphs": self.graphs,
            "late graphs": graphs() - self.graphs,
            "memory": torch.cuda.max_memory_allocated() if self.device == "cuda" else 0,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "attention": attention,
        }


def graphs() -> int:
    """Compiled so far in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


class Watch(L.Callback):
    """Stands behind `ShowProgress`, which finds out what computes attention."""

    def __init__(self, watch: Stopwatch, show: ShowProgress) -> None:
        self.watch, self.show, self.attention = watch, show, ""

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        if not self.attention:
            found = (self.show.kernels or {}).items()
            self.attention = ", ".join(f"{PLACES[kind]}: {' and '.join(sorted(names))}" for kind, names in found)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.watch.step(lambda: pl_module.total_tokens):
            trainer.should_stop = True


class Made(TranslationData):
    """Ids that were never text."""

    def __init__(self, job: dict[str, Any]) -> None:
        reading = Stored(batch_tokens=job["tokens"], max_length=int(job["lengths_N2"].max()))
        nothing: Any = None
        super().__init__(
            Splits(nothing, nothing, nothing), nothing, reading, Proportions(), seed=SEED, num_workers=WORKERS
        )
        self.made = Tokenised(job["dataset"].with_format("arrow"), job["lengths_N2"])

    def setup(self, stage: str | None = None) -> None:
        count = len(self.made.dataset)
        self.train = StoredStream(self.reading, self.made, Draws(np.array([count]), [count], SEED))
        self.validation = self.made


def train_ours(model: dict[str, Any], job: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """By Dragoman's task, data and callbacks, in Lightning's loop, as `trainer=gpu` has it."""
    quiet_lightning()
    logging.getLogger("dragoman").setLevel(logging.ERROR)
    torch.manual_seed(SEED)
    task = TranslationTask(
        model=Transformer(**model, **MECHANISMS),
        optimizer=partial(torch.optim.AdamW, fused=True, **RECIPE),
        schedule=partial(inverse_sqrt, warmup_steps=WARM_UP),
        criterion=build(yaml.safe_load((LOSSES / f"{job['loss']}.yaml").read_text()), path="loss"),
        label_smoothing=SMOOTHING,
        highest_loss=100.0,
        seed=SEED,
    )
    if job["backend"]:
        compile_parts(task.model, task.criterion, job["backend"])
    settings = {
        "_target_": "lightning.Trainer",
        "_partial_": True,
        "accelerator": {"cuda": "gpu", "cpu": "cpu"}[watch.device],
        "devices": 1,
        "precision": "bf16-mixed",
        "max_steps": NEVER,
        "val_check_interval": NEVER,
        "limit_val_batches": 0,
        "accumulate_grad_batches": 1,
        "gradient_clip_val": CLIP,
    }
    with tempfile.TemporaryDirectory() as folder:
        show = ShowProgress(every=50)
        seen = Watch(watch, show)
        trainer = make_trainer(
            {"trainer": settings, "logger": {}}, Path(folder), [Guard(Path(folder), drops=0), show, seen]
        )
        trainer.fit(task, Made(job))
    return watch.answer(task.model, seen.attention)


def train_plainly(model: dict[str, Any], job: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """`nn.Transformer`, bf16 by autocast, fused AdamW, clipping, the same batches from as many processes."""
    from plain import Plain

    logging.getLogger("dragoman").setLevel(logging.ERROR)
    torch.manual_seed(SEED)
    data = Made(job)
    data.setup()
    plain = Plain(model).to(watch.device).train()
    optimizer = torch.optim.AdamW(plain.parameters(), fused=True, **RECIPE)
    schedule = inverse_sqrt(optimizer, warmup_steps=WARM_UP)
    total = torch.zeros((), dtype=torch.float64, device=watch.device)
    batches: Iterable[Batch] = data.train.loader(START, Fetching(WORKERS, watch.device == "cuda"))
    for batch in batches:
        src_BS, tgt_BT = (side.to(watch.device, non_blocking=True) for side in batch)
        labels = tgt_BT[:, 1:].flatten()
        with torch.autocast(watch.device, torch.bfloat16):
            logits_BTV = plain(src_BS, tgt_BT[:, :-1])
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), labels, ignore_index=PAD, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        total.add_((labels != PAD).sum())
        if watch.step(total.item):
            break
    return watch.answer(plain, "torch's own choice")


def products(device: str) -> dict[str, Any]:
    """Floating-point operations a second of bf16 matrix products, the fastest of some; and the name of the device."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"rate": product_rate(torch.device(device), torch.bfloat16, SIDES[device]), "device": name}
