"""No attention: the source in one vector, whatever is asked. Cho et al. 2014, section 2.2; Sutskever et al. 2014."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dragoman.attention.base import KV, Attention
from dragoman.attention.mask import Kind, Mask


class Fixed(Attention):
    """All the weight on the last real position: the bottleneck that attention removed. It remembers nothing else.

    ValueError for a `dropout`: there are no weights to drop.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"cross"})
    asks: ClassVar[bool] = False

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        if dropout:
            raise ValueError(f"fixed attention has no weights to drop: set `attention_dropout` ({dropout}) to 0.")

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        B, S = len(k_BHSK), k_BHSK.shape[2]
        keys_BS = k_BHSK.new_ones(B, S, dtype=torch.bool) if mask.keys_BS is None else mask.keys_BS
        last_BS = keys_BS & (keys_BS.flip(1).cumsum(1).flip(1) == 1)
        return last_BS[:, None, None].expand(*q_BHTK.shape[:3], S).to(q_BHTK.dtype)

    def remember(self, past: Any, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> KV:
        last_BHTS = self.weights(k_BHSK[:, :, :1], k_BHSK, mask)
        return KV(last_BHTS @ k_BHSK, last_BHTS @ v_BHSV)

    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        return past.v_BHSV.expand(-1, -1, q_BHTK.shape[2], -1)
