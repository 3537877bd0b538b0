"""What an attention is: weights over what was read, then a mean of the values. Knows no projections.

Shapes: B sentences, H heads, T queries, S keys, K key width per head, V value width per head.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.attention.mask import Kind, Mask


class KV(NamedTuple):
    """What was read: keys and values, a row per sentence."""

    k_BHSK: Tensor
    v_BHSV: Tensor


class Attention(nn.Module, ABC):
    """The arithmetic from queries, keys and values to a context, without an opinion of where they came from.

    A subclass says by `weights` *what* it computes; one that also overrides `forward` says how to do it fast, and the
    two must agree. A past is a NamedTuple of tensors (or None) with the sentence as dimension 0 and the head as
    dimension 1; each mechanism keeps its own kind. `dropout` is the probability of dropping a weight in training:
    ValueError unless it is at least 0 and less than 1.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"self", "causal", "cross"})  # the places where it makes sense
    positions: ClassVar[frozenset[str]] = frozenset({"rotary", "alibi"})  # what may move its keys or tilt its scores
    asks: ClassVar[bool] = True  # whether queries, and the keys that answer them, make a difference

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"`attention_dropout` ({dropout}) must be at least 0 and less than 1.")
        self.dropout = dropout
        self.num_heads = num_heads
        self.head_dim = head_dim

    @abstractmethod
    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        """The definition, (B, H, T, S): rows sum to one, or to zero where nothing may be read."""

    def remember(self, past: Any, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> Any:
        """What this mechanism keeps of what it has read so far; `mask` is the one it will be read under."""
        if past is None:
            return KV(k_BHSK, v_BHSV)
        return KV(torch.cat((past.k_BHSK, k_BHSK), dim=2), torch.cat((past.v_BHSV, v_BHSV), dim=2))

    def forward(self, q_BHTK: Tensor, past: Any, mask: Mask) -> Tensor:
        """The context of every query, (B, H, T, V)."""
        weights_BHTS = self.weights(q_BHTK, past.k_BHSK, mask)
        return F.dropout(weights_BHTS, self.dropout, self.training) @ past.v_BHSV

    def kernel(self, q_BHTK: Tensor, past: Any, mask: Mask) -> str:
        """The name of what `forward` runs for these."""
        return type(self).__name__


def at_least_fp32(x: Tensor) -> Tensor:
    """Half precision → fp32."""
    return x if x.dtype == torch.float64 else x.float()


def normalise(scores_BHTS: Tensor, mask: Mask) -> Tensor:
    """Scores → weights: tilted, masked, softmax over the keys. A row that may read nothing is zero, not NaN."""
    T, S, device = *scores_BHTS.shape[2:], scores_BHTS.device
    bias, allowed = mask.bias(T, S, device), mask.dense(T, S, device)
    if bias is not None:
        scores_BHTS = (scores_BHTS + bias).to(scores_BHTS.dtype)  # the bias is fp32, and would make all of it so
    if allowed is None:
        return scores_BHTS.softmax(-1)
    # The lowest finite number, not -inf: the softmax of a row of those is NaN, in its gradient too.
    weights_BHTS = scores_BHTS.masked_fill(~allowed, torch.finfo(scores_BHTS.dtype).min).softmax(-1)
    return weights_BHTS.masked_fill(~allowed, 0.0)
