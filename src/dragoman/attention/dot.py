"""Scaled dot-product attention as it is defined: Vaswani et al. 2017, section 3.2.1, equation 1."""

from torch import Tensor

from dragoman.attention.base import Attention, normalise
from dragoman.attention.mask import Mask


class ScaledDot(Attention):
    """softmax(q kᵀ / √K), eager: the oracle of every faster form.

    `scale: false` leaves the √K out, which shows why it is there: the logits' variance grows with K.
    """

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int, scale: bool) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        self.scale = scale

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        return normalise(q_BHTK @ k_BHSK.transpose(-1, -2) * (q_BHTK.shape[-1] ** -0.5 if self.scale else 1.0), mask)
