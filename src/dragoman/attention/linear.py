"""Linear attention: Katharopoulos et al. 2020, sections 3.2 to 3.4.

Shapes: B sentences, H heads, T queries, S keys, K key width per head, V value width per head, N blocks of C positions.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.attention.base import Attention, at_least_fp32
from dragoman.attention.mask import Mask

BLOCK = 64  # positions whose weights among themselves are made at once


class Sums(NamedTuple):
    """φ(k) vᵀ and φ(k), summed over what was read. Under a causal mask those that were read last stand apart."""

    kv_BHKV: Tensor
    k_BHK: Tensor
    last_k_BHSK: Tensor | None = None
    last_v_BHSV: Tensor | None = None


class Linear(Attention):
    """φ(q)ᵀφ(k) / Σ φ(q)ᵀφ(k) with φ = elu + 1: equations 4 to 9. Time grows with S, a decoder's state does not.

    A sum forgets where its parts stood: no bias by distance, and no weights to drop: ValueError for a `dropout`.
    """

    positions: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        if dropout:
            raise ValueError(f"linear attention has no weights to drop: set `attention_dropout` ({dropout}) to 0.")

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        scores_BHTS = feature(q_BHTK) @ feature(k_BHSK).transpose(-1, -2)
        allowed = mask.dense(q_BHTK.shape[2], k_BHSK.shape[2], q_BHTK.device)
        if allowed is not None:
            scores_BHTS = scores_BHTS.masked_fill(~allowed, 0.0)
        return divide(scores_BHTS, scores_BHTS.sum(-1))

    def remember(self, past: Sums | None, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> Sums:
        """Under a causal mask the newest keys wait: some of their queries may not read all of them."""
        k_BHSK = feature(k_BHSK)
        v_BHSV = v_BHSV.to(k_BHSK.dtype)
        if mask.keys_BS is not None:
            k_BHSK = k_BHSK * mask.keys_BS[:, None, -k_BHSK.shape[2] :, None]
        B, H, _, K = k_BHSK.shape
        if past is None:
            past = Sums(k_BHSK.new_zeros(B, H, K, v_BHSV.shape[3]), k_BHSK.new_zeros(B, H, K))
        if mask.kind != "causal":
            return add(past, k_BHSK, v_BHSV)
        return add(past, past.last_k_BHSK, past.last_v_BHSV)._replace(last_k_BHSK=k_BHSK, last_v_BHSV=v_BHSV)

    def forward(self, q_BHTK: Tensor, past: Sums, mask: Mask) -> Tensor:
        with torch.autocast(q_BHTK.device.type, enabled=False):  # sums of many terms want their 24 bits
            read = whole if past.last_k_BHSK is None else causal
            return read(feature(q_BHTK), past).to(q_BHTK.dtype)


def feature(x: Tensor) -> Tensor:
    """φ, section 3.2.1: positive, and of another slope below zero than above. In fp32 at least."""
    return F.elu(at_least_fp32(x)) + 1


def add(sums: Sums, k_BHSK: Tensor | None, v_BHSV: Tensor | None) -> Sums:
    """The sums with these φ(k) and v in them."""
    if k_BHSK is None or v_BHSV is None:
        return sums
    with torch.autocast(k_BHSK.device.type, enabled=False):
        return Sums(sums.kv_BHKV + k_BHSK.transpose(-1, -2) @ v_BHSV, sums.k_BHK + k_BHSK.sum(2))


def divide(total: Tensor, norm: Tensor) -> Tensor:
    """A row that may read nothing has the norm 0 and the total 0, and stays 0."""
    return total / (norm + (norm == 0))[..., None]


def whole(q_BHTK: Tensor, past: Sums) -> Tensor:
    """Equation 5, for φ(q) of queries that may read all that was read."""
    return divide(q_BHTK @ past.kv_BHKV, (q_BHTK @ past.k_BHK[..., None])[..., 0])


def causal(q_BHTK: Tensor, past: Sums) -> Tensor:
    """Equations 9 to 12, a block of positions at a time: what stood before the block by its sums, the rest by weights.

    For φ(q) of queries that are the last T of the newest S keys.
    """
    T = q_BHTK.shape[2]
    k_BHSK, v_BHSV = past.last_k_BHSK, past.last_v_BHSV
    assert k_BHSK is not None
    assert v_BHSV is not None
    older = k_BHSK.shape[2] - T  # which every query may read
    past = add(past, k_BHSK[:, :, :older], v_BHSV[:, :, :older])
    C = min(T, BLOCK)
    N = -(-T // C)
    q, k, v = (
        F.pad(x, (0, 0, 0, N * C - T)).unflatten(2, (N, C))
        for x in (q_BHTK, k_BHSK[:, :, older:], v_BHSV[:, :, older:])
    )
    kv_BHNKV = before(k.transpose(-1, -2) @ v) + past.kv_BHKV[:, :, None]
    k_BHNK = before(k.sum(3)) + past.k_BHK[:, :, None]
    weights_BHNCC = (q @ k.transpose(-1, -2)).tril()
    total_BHNCV = weights_BHNCC @ v + q @ kv_BHNKV
    norm_BHNC = weights_BHNCC.sum(-1) + (q @ k_BHNK[..., None])[..., 0]
    return divide(total_BHNCV, norm_BHNC).flatten(2, 3)[:, :, :T]


def before(blocks: Tensor) -> Tensor:
    """The sum of all the blocks that come earlier; the blocks are dimension 2."""
    return blocks.cumsum(2) - blocks
