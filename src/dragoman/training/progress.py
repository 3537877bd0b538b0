"""What one watches: a bar with loss, tokens/s and time left on a terminal, a line now and then in a log."""

import logging
import sys
import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch.optim import Optimizer

from dragoman.attention import PLACES, kernels
from dragoman.data.batch import Batch
from dragoman.heartbeat import clock
from dragoman.models import Transformer
from dragoman.training.compiled import uncompiled
from dragoman.training.flops import Work
from dragoman.training.precision import number_format

log = logging.getLogger("dragoman")

HEARTBEAT = 45.0  # seconds without a line before a step has one all the same: sooner than `heartbeat`, which knows less


class ShowProgress(L.Callback):
    """Shows and logs training loss, learning rate and target tokens per second every `every` optimizer steps, with the
    gradient's norm before clipping, and what every validation finds.

    tokens/s counts what the loss counts, target tokens without padding, over the time spent in training steps and on
    fetching their batches; validation is left out. Of a Transformer it also tells what share that is of the rate of
    plain matrix products in the same precision, measured as training begins: model FLOPs, by `training_flops`. The time
    left is that of the steps left at the pace since the start.
    """

    def __init__(self, *, every: int) -> None:
        if every < 1:
            raise ValueError(f"`every` ({every}) must be at least 1.")
        self.every = every
        self.bar: Progress | None = None
        self.recent = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        trained, frozen = (
            sum(p.numel() for p in pl_module.parameters() if p.requires_grad is wanted) for wanted in (True, False)
        )
        log.info(
            "training %s%s parameters to step %s",
            *(f"{trained:,}", f" of {trained + frozen:,}" if frozen else "", f"{trainer.max_steps:,}"),
        )
        self.kernels: dict[Any, set[str]] | None = None
        self.began = self.last_line = self.window_began = time.perf_counter()
        self.first_step, self.paused = trainer.global_step, 0.0
        self.earlier_tokens = float(pl_module.past_sums[1])  # of the steps before a stop that are not yet told
        self.work = None
        if isinstance(pl_module.model, Transformer):
            self.work = Work(pl_module.model, pl_module.device, number_format(trainer.precision))
        if sys.stderr.isatty() and trainer.is_global_zero:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps  {task.description}"))
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.add_task("", total=trainer.max_steps, completed=trainer.global_step)
            self.bar.start()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        """Before the first: which backend computes attention, asked with two of its sentences, in uncompiled layers."""
        if self.kernels is None:
            with uncompiled(), kernels(pl_module) as self.kernels, trainer.precision_plugin.forward_context():
                pl_module.loss(Batch(*(side[:2] for side in batch)), 0.0)
        if self.work is not None:
            self.work.add(batch)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        self.rate = optimizer.param_groups[0]["lr"]  # after the step it is already that of the next one

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.kernels:
            self._tell_kernels(trainer, self.kernels)
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self._measure(trainer, pl_module, step)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=step, description=self.recent)
        elif trainer.is_global_zero and step % self.every and time.perf_counter() - self.last_line > HEARTBEAT:
            self._line(f"step {step:,}: {self.recent}")

    def _tell_kernels(self, trainer: L.Trainer, found: dict[Any, set[str]]) -> None:
        """Once the first batch is through."""
        told = "; ".join(f"{PLACES[kind]} {' and '.join(sorted(names))}" for kind, names in found.items())
        if trainer.is_global_zero:
            log.info("attention is computed by: %s", told)
        self.kernels = {}

    def _measure(self, trainer: L.Trainer, pl_module: Any, step: int) -> None:
        now = time.perf_counter()
        loss, tokens = pl_module.take_sums()
        elapsed = now - self.window_began - self.paused
        speed = (tokens - self.earlier_tokens) / elapsed
        self.window_began, self.paused, self.earlier_tokens = now, 0.0, 0.0
        metrics = {"train_loss": loss / max(1.0, tokens), "learning_rate": self.rate, "tokens_per_second": speed}
        metrics["gradient_norm"] = pl_module.gradient_norm.item()
        pace = f"{speed:,.0f} tokens/s"
        if self.work is not None:
            metrics["share_of_peak"] = self.work.share(elapsed)
            pace += f" ({metrics['share_of_peak']:.0%} of peak)"
        write_metrics(trainer, metrics)
        left = (now - self.began) / max(1, step - self.first_step) * (trainer.max_steps - step)
        self.recent = f"loss {metrics['train_loss']:.3f}, {pace}, {clock(left)} left"

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validation_began = time.perf_counter()
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], description="validating")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.paused += time.perf_counter() - self.validation_began
        metrics = {key: trainer.callback_metrics[key].item() for key in ("validation_loss", "bleu")}
        write_metrics(trainer, metrics)
        if trainer.is_global_zero:
            found = f"validation loss {metrics['validation_loss']:.3f}, BLEU {metrics['bleu']:.2f}"
            self._line(f"step {trainer.global_step:,}: {'; '.join(filter(None, (self.recent, found)))}")

    def _line(self, text: str) -> None:
        self.last_line = time.perf_counter()
        if self.bar is None:
            log.info("%s", text)
        else:
            self.bar.console.print(text, highlight=False, soft_wrap=True)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._close()


def write_metrics(trainer: L.Trainer, metrics: dict[str, float]) -> None:
    """To every logger, at the optimizer step that has just been taken: Lightning's own count lags while validating."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.global_step)
        logger.save()
