"""The loss and the optimizer: what training is, without text, without search.

Shapes: B sentences, S source positions, T target positions, V target vocabulary.
"""

import logging
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dragoman.data.batch import Batch
from dragoman.models import Seq2Seq
from dragoman.training.compiled import uncompiled
from dragoman.training.loss import Loss, count_targets
from dragoman.training.spread import is_spread, spread
from dragoman.training.unsound import leave_out

log = logging.getLogger("dragoman")


class TranslationTask(L.LightningModule):
    """Maximum likelihood with smoothed labels (Szegedy et al. 2016, section 7).

    The loss of an optimizer step is the mean over all of its target tokens, whatever batches and processes they came
    in: `training_step` returns sums, and the gradients are divided once, just before clipping. Randomness is a function
    of (seed, batch, rank), so a resumed run is the uninterrupted one. A step whose gradient is not finite, or whose
    loss is above `highest_loss` (nats per token), changes nothing, in any process; in fp16 the loss scaler decides, by
    the gradient alone.
    """

    def __init__(
        self,
        *,
        model: Seq2Seq,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
        criterion: Loss,
        label_smoothing: float,
        highest_loss: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.criterion = criterion
        self.label_smoothing = label_smoothing
        self.highest_loss = highest_loss
        self.seed = seed
        self.step_sums = torch.zeros(2)  # loss and target tokens of the optimizer step that this process is gathering
        self.past_sums = torch.zeros(2)  # of all processes, in the steps since `take_sums`
        self.total_tokens = torch.zeros((), dtype=torch.float64)  # since the first step
        self.validation_sums: list[Tensor] = []
        self.gradient_norm: Tensor | None = None  # of the latest step, before it was clipped
        self.unsound = torch.zeros((), dtype=torch.bool)  # whether that step was left out

    def configure_model(self) -> None:
        if self.device_mesh is not None and not is_spread(self.model):
            spread(self.model, self.device_mesh["data_parallel"])

    def loss(self, batch: Batch, label_smoothing: float) -> Tensor:
        """Sum over target tokens, EOS included, of the smoothed negative log-likelihood."""
        return self.criterion(self.model, batch, label_smoothing)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed((self.seed * 1_000_003 + batch_idx) * 1_009 + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch, self.label_smoothing)
        self.step_sums = self.step_sums.to(loss.device) + torch.stack((loss.detach(), count_targets(batch.tgt_BT)))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """One true token mean: undo Lightning's mean over batches and DDP's over ranks, divide by all the tokens."""
        scaler = self._scaler()
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            # Lightning leaves the unscaling to a fused optimizer's step, which comes after the clipping.
            scaler.unscale_(optimizer)
        sums = self.trainer.strategy.reduce(self.step_sums, reduce_op="sum")
        loss, tokens = sums[0], sums[1].clamp(min=1)
        factor = self.trainer.accumulate_grad_batches * self.trainer.world_size / tokens
        torch._foreach_mul_([p.grad for p in self.parameters() if p.grad is not None], factor)
        self.unsound = ~torch.isfinite(loss) if scaler else ~(loss <= self.highest_loss * tokens)
        self.past_sums = self.past_sums.to(sums.device) + torch.where(self.unsound, 0.0, sums)
        self.total_tokens = self.total_tokens.to(sums.device) + sums[1]
        self.step_sums = torch.zeros_like(self.step_sums)

    def _scaler(self) -> torch.amp.GradScaler | None:
        """Of fp16, which leaves out steps by itself."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def take_sums(self) -> tuple[float, float]:
        """Training loss and target tokens, summed over processes and the sound optimizer steps since the last call."""
        loss, tokens = self.past_sums.tolist()
        self.past_sums.zero_()
        return loss, tokens

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By norm. Lightning's own refuses fused optimizers under mixed precision, though the gradients are ready."""
        most = gradient_clip_val or torch.inf
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), most).detach()
        self.gradient_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if self._scaler() is None:
            self.unsound = self.unsound | ~torch.isfinite(self.gradient_norm)
            leave_out(optimizer, self.unsound)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["sums"] = [self.past_sums, self.total_tokens]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "sums" in checkpoint:
            self.past_sums, self.total_tokens = checkpoint["sums"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        try:
            with uncompiled():
                sums = torch.stack((self.loss(batch, 0.0).detach(), count_targets(batch.tgt_BT)))
        except Exception:  # whatever it is: it must not end a week of training
            log.warning("this batch of the validation split has failed; training goes on", exc_info=True)
            sums = torch.full((2,), torch.nan, device=self.device)
        self.validation_sums.append(sums)

    def on_validation_epoch_end(self) -> None:
        loss, tokens = self.trainer.strategy.reduce(torch.stack(self.validation_sums).sum(0), reduce_op="sum")
        self.validation_sums.clear()
        self.log("validation_loss", loss / tokens, logger=False)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer([one for one in self.parameters() if one.requires_grad])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_schedule(optimizer), "interval": "step"},
        }
