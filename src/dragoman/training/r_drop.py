"""R-Drop (Liang et al. 2021): two passes of a batch, which dropout leads apart, learn to agree.

Shapes: B sentences, T target positions, D model width or vocabulary, V target vocabulary, N rows: the two passes of a
position are neighbours.
"""

import logging
import math
from typing import Literal

import torch
from torch import Tensor, nn

from dragoman.attention.base import Attention, at_least_fp32
from dragoman.data.batch import Batch
from dragoman.errors import InputError
from dragoman.ids import PAD
from dragoman.models import Seq2Seq
from dragoman.models.dropout import Dropout
from dragoman.models.seq2seq import Projecting
from dragoman.training.fused_loss import FusedLoss, LinearCrossEntropy, product_type
from dragoman.training.loss import Loss, WholeLoss, labels_of, plain_loss

log = logging.getLogger("dragoman")


class RDrop(Loss):
    """The smoothed loss of two passes, and how far apart they are: section 2 of the paper.

    In portions of `positions` target positions of both passes together; None: all at once.
    """

    def __init__(self, *, weight: float, positions: int | Literal["auto"] | None) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"`weight` ({weight}) must be a number, at least 0.")
        self.once = WholeLoss() if positions is None else FusedLoss(positions=positions)
        self.plain = Disagreement(weight)
        self.arithmetic = DisagreementSlope(weight)

    def check(self, model: Seq2Seq, spread: bool) -> None:
        """Serves every model; says so where that is of no use."""
        if spread and isinstance(self.once, FusedLoss):
            raise InputError(
                "loss=r_drop in portions needs the whole last projection in each process: with trainer=fsdp set"
                " loss.positions=null."
            )
        drops = (
            part.threshold if isinstance(part, Dropout) else isinstance(part, Attention) and part.dropout
            for part in model.modules()
        )
        if not any(drops):
            log.warning("loss=r_drop takes twice the time and changes nothing: the model has no dropout")

    def forward(self, model: Seq2Seq, batch: Batch, label_smoothing: float) -> Tensor:
        if not model.training:
            return self.once(model, batch, label_smoothing)  # two passes without dropout are one
        given = batch.src_BS.repeat(2, 1), batch.tgt_BT[:, :-1].repeat(2, 1)
        labels_N = labels_of(batch).repeat_interleave(2)
        if isinstance(self.once, FusedLoss) and isinstance(model, Projecting):
            weight_VD = model.output.weight
            pairs = max(1, self.once.portion(weight_VD) // 2)
            how = (label_smoothing, 2 * pairs, product_type(weight_VD), self.arithmetic)
            return LinearCrossEntropy.apply(neighbours(model.states(*given)), weight_VD, labels_N, *how)
        return self.plain(neighbours(model(*given)), labels_N, label_smoothing)


def neighbours(passes_BTD: Tensor) -> Tensor:
    """Sentences of the first pass, then those of the second → rows, a position's two beside each other."""
    return passes_BTD.unflatten(0, (2, -1)).movedim(0, 2).flatten(0, 2)


class Disagreement(nn.Module):
    """The definition: half of the paper's equation 4, so that a token counts once.

    The mean of the two smoothed losses + ½ weight · ½ (KL(p‖q) + KL(q‖p)).
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> Tensor:
        p_NV, q_NV = at_least_fp32(logits_NV).log_softmax(-1).unflatten(0, (-1, 2)).unbind(1)
        apart_N = ((p_NV.exp() - q_NV.exp()) * (p_NV - q_NV)).sum(-1)
        apart = (apart_N * (labels_N[::2] != PAD)).sum()
        return (plain_loss(logits_NV, labels_N, label_smoothing) + self.weight * apart / 2) / 2


class DisagreementSlope(nn.Module):
    """Logits → `Disagreement` of them, and its gradient.

    With p a pass, q the other one and d = log p - log q, the slope of KL(p‖q) + KL(q‖p) by p's logits is
    p (d + 1 - KL(p‖q)) - q. Padding has none.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits_NV: Tensor, labels_N: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
        half, label_N1, real_N1 = self.weight / 2, labels_N[:, None], (labels_N != PAD)[:, None]
        log_p_NV = at_least_fp32(logits_NV).log_softmax(1)
        p_NV = log_p_NV.exp()
        d_NV = log_p_NV - other(log_p_NV)
        apart_N1 = (p_NV * d_NV).sum(1, keepdim=True)  # KL(p‖q)
        picked_N1, mean_N1 = log_p_NV.gather(1, label_N1), log_p_NV.mean(1, keepdim=True)
        likely_N1 = (1 - label_smoothing) * picked_N1 + label_smoothing * mean_N1
        loss = ((half * apart_N1 - likely_N1) * real_N1).sum() / 2
        slope_NV = d_NV.mul_(half).add_(1 + half - half * apart_N1).mul_(p_NV)
        slope_NV.sub_(other(p_NV), alpha=half).sub_(label_smoothing / p_NV.shape[1])
        slope_NV.scatter_add_(1, label_N1, torch.full_like(picked_N1, label_smoothing - 1))
        return loss, slope_NV.mul_(real_N1 / 2).to(logits_NV.dtype)


def other(rows_NV: Tensor) -> Tensor:
    """The other pass of each row."""
    return rows_NV.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
