"""Scaled dot-product attention as it is defined: Vaswani et al. 2017, section 3.2.1, equation 1."""

import torch
from torch import Tensor

from dragoman.attention.base import Attention
from dragoman.attention.mask import Mask


class ScaledDot(Attention):
    """softmax(q kᵀ / √K), eager: the oracle of every faster form.

    `scale: false` leaves the √K out, which shows why it is there: the logits' variance grows with K.
    """

    def __init__(self, *, dropout: float, scale: bool) -> None:
        super().__init__(dropout=dropout)
        self.scale = scale

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        scores_BHTS = q_BHTK @ k_BHSK.transpose(-1, -2) * (q_BHTK.shape[-1] ** -0.5 if self.scale else 1.0)
        allowed = mask.dense(q_BHTK.shape[2], k_BHSK.shape[2], q_BHTK.device)
        if allowed is None:
            return scores_BHTS.softmax(-1)
        # The lowest finite number, not -inf: a row that may read nothing would turn into NaN.
        weights_BHTS = scores_BHTS.masked_fill(~allowed, torch.finfo(scores_BHTS.dtype).min).softmax(-1)
        return weights_BHTS.masked_fill(~allowed, 0.0)
