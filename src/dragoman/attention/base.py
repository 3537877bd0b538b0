"""What an attention is: weights over what was read, then a mean of the values. Knows no projections.

Shapes: B sentences, H heads, T queries, S keys, K key width per head, V value width per head.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.attention.mask import Mask


class KV(NamedTuple):
    """What was read: keys and values, a row per sentence."""

    k_BHSK: Tensor
    v_BHSV: Tensor


class Attention(nn.Module, ABC):
    """The arithmetic from queries, keys and values to a context, without an opinion of where they came from.

    A subclass says by `weights` *what* it computes; one that also overrides `forward` says how to do it fast, and the
    two must agree. `dropout` is the probability of dropping a weight in training.
    """

    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"`attention_dropout` ({dropout}) must be at least 0 and less than 1.")
        self.dropout = dropout

    @abstractmethod
    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        """The definition, (B, H, T, S): rows sum to one, or to zero where nothing may be read."""

    def remember(self, past: KV | None, k_BHSK: Tensor, v_BHSV: Tensor) -> KV:
        """What this mechanism keeps of what it has read so far."""
        if past is None:
            return KV(k_BHSK, v_BHSV)
        return KV(torch.cat((past.k_BHSK, k_BHSK), dim=2), torch.cat((past.v_BHSV, v_BHSV), dim=2))

    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        """The context of every query, (B, H, T, V)."""
        weights_BHTS = self.weights(q_BHTK, past.k_BHSK, mask)
        return F.dropout(weights_BHTS, self.dropout, self.training) @ past.v_BHSV
