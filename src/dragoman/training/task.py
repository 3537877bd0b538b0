"""The loss and the optimizer: what training is, without text, without search.

Shapes: B sentences, S source positions, T target positions, V target vocabulary.
"""

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dragoman.data.batch import Batch
from dragoman.ids import PAD
from dragoman.models import Seq2Seq
from dragoman.training.loss import smoothed_loss


class TranslationTask(L.LightningModule):
    """Maximum likelihood with smoothed labels (Szegedy et al. 2016, section 7).

    The loss of an optimizer step is the mean over all of its target tokens, whatever batches and processes they came
    in: `training_step` returns sums, and the gradients are divided once, just before clipping. Randomness is a function
    of (seed, batch, rank), so a resumed run is the uninterrupted one.
    """

    def __init__(
        self,
        *,
        model: Seq2Seq,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
        label_smoothing: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.label_smoothing = label_smoothing
        self.seed = seed
        self.step_sums = torch.zeros(2)  # loss and target tokens of the optimizer step that is being gathered
        self.past_sums = torch.zeros(2)  # of those since `take_sums`
        self.validation_sums: list[Tensor] = []
        self.gradient_norm: Tensor | None = None  # of the latest step, before it was clipped; None where nothing clips

    def loss(self, batch: Batch, label_smoothing: float) -> Tensor:
        """Sum over target tokens, EOS included, of the smoothed negative log-likelihood."""
        logits_BTV = self.model(batch.src_BS, batch.tgt_BT[:, :-1])
        return smoothed_loss(logits_BTV.flatten(0, 1), batch.tgt_BT[:, 1:].flatten(), label_smoothing)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed((self.seed * 1_000_003 + batch_idx) * 1_009 + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch, self.label_smoothing)
        self.step_sums = self.step_sums.to(loss.device) + torch.stack((loss.detach(), count_targets(batch)))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """One true token mean: undo Lightning's mean over batches and DDP's over ranks, divide by all the tokens."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            # Lightning leaves the unscaling to a fused optimizer's step, which comes after the clipping.
            scaler.unscale_(optimizer)
        tokens = self.trainer.strategy.reduce(self.step_sums[1], reduce_op="sum")
        factor = self.trainer.accumulate_grad_batches * self.trainer.world_size / tokens.clamp(min=1)
        torch._foreach_mul_([p.grad for p in self.parameters() if p.grad is not None], factor)
        self.past_sums = self.past_sums.to(factor.device) + self.step_sums
        self.step_sums = torch.zeros_like(self.step_sums)

    def take_sums(self) -> tuple[float, float]:
        """Training loss and target tokens of this process, summed over the optimizer steps since the last call."""
        loss, tokens = self.past_sums.tolist()
        self.past_sums.zero_()
        return loss, tokens

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By norm. Lightning's own refuses fused optimizers under mixed precision, though the gradients are ready."""
        if gradient_clip_val:
            self.gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val).detach()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_sums.append(torch.stack((self.loss(batch, 0.0).detach(), count_targets(batch))))

    def on_validation_epoch_end(self) -> None:
        loss, tokens = self.trainer.strategy.reduce(torch.stack(self.validation_sums).sum(0), reduce_op="sum")
        self.validation_sums.clear()
        self.log("validation_loss", loss / tokens, logger=False, rank_zero_only=True)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer([one for one in self.parameters() if one.requires_grad])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_schedule(optimizer), "interval": "step"},
        }


def count_targets(batch: Batch) -> Tensor:
    """How many tokens the loss is a sum over."""
    return (batch.tgt_BT[:, 1:] != PAD).sum()
