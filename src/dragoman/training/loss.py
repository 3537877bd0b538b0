"""Cross-entropy with smoothed labels: what it is, and how to have it on a CPU without a copy of all the logits.

Shapes: N target positions, V target vocabulary, R rows of a block.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.attention.base import at_least_fp32
from dragoman.data.batch import Batch
from dragoman.ids import PAD
from dragoman.models import Seq2Seq

BLOCK = 1 << 19  # elements of a block: 2 MiB in fp32, which stays in the cache between its passes


class Loss(nn.Module):
    """(model, batch, label smoothing) → the sum over the batch's target tokens, EOS included, of their loss."""

    def check(self, model: Seq2Seq, spread: bool) -> None:
        """InputError for a model that it cannot serve; `spread`: over several processes. By default it serves all."""


class WholeLoss(Loss):
    """Sum over a batch's target tokens, EOS included, of the smoothed negative log-likelihood."""

    def __init__(self) -> None:
        super().__init__()
        self.arithmetic = Smoothed()

    def forward(self, model: Seq2Seq, batch: Batch, label_smoothing: float) -> Tensor:
        logits_BTV = model(batch.src_BS, batch.tgt_BT[:, :-1])
        return self.arithmetic(logits_BTV.flatten(0, 1), labels_of(batch), label_smoothing)


class Smoothed(nn.Module):
    """`smoothed_loss` as a module, so that it can be compiled."""

    def forward(self, logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
        return smoothed_loss(logits_NV, labels_N, label_smoothing)


def labels_of(batch: Batch) -> Tensor:
    """What should come out at each target position, row after row."""
    return batch.tgt_BT[:, 1:].flatten()


def smoothed_loss(logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
    """Sum over tokens that are not padding of (1-ε)·nll(label) + ε·mean over V of nll: Szegedy et al. 2016, section 7.

    Summed in fp32 at least. On a CPU, unless it is compiled, the gradient is made block by block beside the loss, in
    the type of the logits.
    """
    written = logits_NV.is_cpu and not torch.compiler.is_compiling()
    if written and logits_NV.requires_grad and torch.is_grad_enabled():
        return BlockwiseLoss.apply(logits_NV, labels_N, label_smoothing)
    return plain_loss(logits_NV, labels_N, label_smoothing)


def plain_loss(logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
    """The definition, by torch."""
    return F.cross_entropy(
        at_least_fp32(logits_NV), labels_N, ignore_index=PAD, label_smoothing=label_smoothing, reduction="sum"
    )


def count_targets(tgt_BT: Tensor) -> Tensor:
    """How many tokens the loss of `BOS y… EOS PAD…` is a sum over."""
    return (tgt_BT[:, 1:] != PAD).sum()


def loss_and_slope(scores_RV: Tensor, labels_R: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The loss and its gradient, which takes the place of the logits.

    d loss / d logit = softmax - (1-ε)·[is the label] - ε/V, zero at padding.
    """
    label_R1, real_R1 = labels_R[:, None], (labels_R != PAD)[:, None]
    norm_R1 = scores_RV.logsumexp(1, keepdim=True)
    picked_R1 = scores_RV.gather(1, label_R1)
    mean_R1 = scores_RV.mean(1, keepdim=True)
    loss = ((norm_R1 - (1 - label_smoothing) * picked_R1 - label_smoothing * mean_R1) * real_R1).sum()
    slope_RV = scores_RV.sub_(norm_R1).exp_().sub_(label_smoothing / scores_RV.shape[1])
    slope_RV.scatter_add_(1, label_R1, torch.full_like(picked_R1, label_smoothing - 1))
    return loss, slope_RV.mul_(real_R1)


class BlockwiseLoss(torch.autograd.Function):
    """The same loss and gradient, a block of rows at a time."""

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
        rows = max(1, BLOCK // logits_NV.shape[1])
        grad_NV = torch.empty_like(logits_NV)
        kept = torch.promote_types(logits_NV.dtype, torch.float32)
        total = torch.zeros((), dtype=kept)
        for logits_RV, labels_R, grad_RV in zip(
            logits_NV.split(rows), labels_N.split(rows), grad_NV.split(rows), strict=True
        ):
            # Made where it stays, but for half precision: what is not allocated need not be fetched by the processor.
            scores_RV = grad_RV.copy_(logits_RV) if logits_RV.dtype == kept else logits_RV.to(kept)
            loss, slope_RV = loss_and_slope(scores_RV, labels_R, label_smoothing)
            total += loss
            grad_RV.copy_(slope_RV)  # onto itself: nothing
        ctx.save_for_backward(grad_NV)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (grad_NV,) = ctx.saved_tensors
        # In place, so once: torch refuses a second backward of the same graph.
        return grad_NV.mul_(grad_outputs[0].to(grad_NV.dtype)), None, None
