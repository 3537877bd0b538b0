"""Cross-entropy with smoothed labels: what it is, and how to have it on a CPU without a copy of all the logits.

Shapes: N target positions, V target vocabulary, R rows of a block.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.ids import PAD

BLOCK = 1 << 19  # elements of a block: 2 MiB in fp32, which stays in the cache between its passes


def smoothed_loss(logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
    """Sum over tokens that are not padding of (1-ε)·nll(label) + ε·mean over V of nll: Szegedy et al. 2016, section 7.

    Always summed in fp32. On a CPU the gradient is made block by block beside the loss, in the type of the logits.
    """
    if logits_NV.is_cpu and logits_NV.requires_grad and torch.is_grad_enabled():
        return BlockwiseLoss.apply(logits_NV, labels_N, label_smoothing)
    return plain_loss(logits_NV, labels_N, label_smoothing)


def plain_loss(logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
    """The definition, by torch."""
    return F.cross_entropy(
        logits_NV.float(), labels_N, ignore_index=PAD, label_smoothing=label_smoothing, reduction="sum"
    )


def r_drop_loss(logits_NV: Tensor, labels_N: Tensor, label_smoothing: float, weight: float) -> Tensor:
    """R-Drop (Liang et al. 2021, equation 4), halved: the first half of N is the second one under other dropout.

    The mean of the two smoothed losses + ½ weight · ½ (KL(p‖q) + KL(q‖p)), summed over the tokens of one half.
    """
    p_NV, q_NV = logits_NV.float().log_softmax(-1).chunk(2)
    apart_N = ((p_NV.exp() - q_NV.exp()) * (p_NV - q_NV)).sum(-1)
    apart = (apart_N * (labels_N.chunk(2)[0] != PAD)).sum()
    return (smoothed_loss(logits_NV, labels_N, label_smoothing) + weight * apart / 2) / 2


def count_targets(tgt_BT: Tensor) -> Tensor:
    """How many tokens the loss of `BOS y… EOS PAD…` is a sum over."""
    return (tgt_BT[:, 1:] != PAD).sum()


class BlockwiseLoss(torch.autograd.Function):
    """The same loss and gradient: d loss / d logit = softmax - (1-ε)·[is the label] - ε/V, zero at padding."""

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
        V = logits_NV.shape[1]
        rows = max(1, BLOCK // V)
        grad_NV = torch.empty_like(logits_NV)
        total = torch.zeros((), dtype=torch.float32)
        for logits_RV, labels_R, grad_RV in zip(
            logits_NV.split(rows), labels_N.split(rows), grad_NV.split(rows), strict=True
        ):
            scores_RV = logits_RV.to(torch.float32, copy=True)
            label_R1, real_R1 = labels_R[:, None], (labels_R != PAD)[:, None]
            norm_R1 = scores_RV.logsumexp(1, keepdim=True)
            picked_R1 = scores_RV.gather(1, label_R1)
            mean_R1 = scores_RV.mean(1, keepdim=True)
            total += ((norm_R1 - (1 - label_smoothing) * picked_R1 - label_smoothing * mean_R1) * real_R1).sum()
            slope_RV = scores_RV.sub_(norm_R1).exp_().sub_(label_smoothing / V)
            slope_RV.scatter_add_(1, label_R1, torch.full_like(picked_R1, label_smoothing - 1))
            grad_RV.copy_(slope_RV.mul_(real_R1))
        ctx.save_for_backward(grad_NV)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (grad_NV,) = ctx.saved_tensors
        return grad_NV * grad_outputs[0].to(grad_NV.dtype), None, None
