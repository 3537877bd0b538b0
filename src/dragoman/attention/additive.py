"""Additive attention: Bahdanau et al. 2015, appendix A.1.2.

Shapes: B sentences, H heads, T queries, S keys, K key width per head.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.attention.base import KV, Attention, at_least_fp32, normalise
from dragoman.attention.mask import Mask

TILE = 1 << 19  # elements: 2 MiB in fp32, which stays in a CPU's cache between its passes
GPU_TILE = 1 << 25  # where starting a kernel costs more than reading memory
LIMIT = 20.0  # of |q| and |k|: e⁸⁰ still is an fp32 number; tanh(q + k) only changes where they exceed it and cancel


class Additive(Attention):
    """softmax(vᵀ tanh(q + k)), a v for each head; Bahdanau's W and U are the projections that make q and k.

    `weights` holds q + k of all the pairs, (B, H, T, S, K); `forward` only ever a tile of it, by
    tanh(q + k) = 1 - 2 / (1 + e^{2q} e^{2k}), which takes the exponentials once for each query and each key. So what is
    remembered are e^{2k}.
    """

    positions: ClassVar[frozenset[str]] = frozenset({"alibi"})  # to rotate q and k means nothing where they are added

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        self.v_HK = nn.Parameter(torch.empty(num_heads, head_dim))
        nn.init.normal_(self.v_HK, std=head_dim**-0.5)

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        sums_BHTSK = q_BHTK[:, :, :, None] + k_BHSK[:, :, None]
        return normalise((sums_BHTSK.tanh() * self.v_HK[:, None, None]).sum(-1), mask)

    def remember(self, past: KV | None, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> KV:
        return super().remember(past, exponential(k_BHSK), v_BHSV, mask)

    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        with torch.autocast(q_BHTK.device.type, enabled=False):
            scores_BHTS = TiledScores.apply(exponential(q_BHTK), past.k_BHSK, self.v_HK)
            weights_BHTS = normalise(scores_BHTS, mask).to(past.v_BHSV.dtype)
        return F.dropout(weights_BHTS, self.dropout, self.training) @ past.v_BHSV


def exponential(x: Tensor) -> Tensor:
    """e^{2x} in fp32 at least, without overflow."""
    return (at_least_fp32(x).clamp(-LIMIT, LIMIT) * 2).exp()


class TiledScores(torch.autograd.Function):
    """Σ_K v (1 - 2r), r = 1 / (1 + a b), where a = e^{2q} and b = e^{2k}: a tile at a time, there and back.

    With s for the scores: ∂s/∂a = 2 v b r², ∂s/∂b = 2 v a r², ∂s/∂v = 1 - 2r.
    """

    @staticmethod
    def forward(ctx: Any, a_BHTK: Tensor, b_BHSK: Tensor, v_HK: Tensor) -> Tensor:
        ctx.save_for_backward(a_BHTK, b_BHSK, v_HK)
        v_HK = v_HK.to(a_BHTK.dtype)
        scores_BHTS = a_BHTK.new_empty(*a_BHTK.shape[:3], b_BHSK.shape[2])
        for (b, t), r in tiles(a_BHTK, b_BHSK):
            scores_BHTS[b, :, t] = (r @ v_HK[:, None, :, None])[..., 0]
        return scores_BHTS.mul_(-2).add_(v_HK.sum(-1)[:, None, None])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a_BHTK, b_BHSK, v_HK = ctx.saved_tensors
        grad_BHTS = grad_outputs[0]
        da_BHTK, db_BHSK = torch.zeros_like(a_BHTK), torch.zeros_like(b_BHSK)
        dv_HK = torch.zeros_like(v_HK, dtype=a_BHTK.dtype)
        for (b, t), r in tiles(a_BHTK, b_BHSK):
            grad = grad_BHTS[b, :, t, :, None]
            weighted = r * grad
            dv_HK += (grad - 2 * weighted).sum((0, 2, 3))
            weighted *= r
            da_BHTK[b, :, t] = (weighted * b_BHSK[b, :, None]).sum(3)
            db_BHSK[b] += weighted.mul_(a_BHTK[b, :, t, None]).sum(2)
        double_v = 2 * v_HK.to(a_BHTK.dtype)[:, None]
        return da_BHTK.mul_(double_v), db_BHSK.mul_(double_v), dv_HK.to(v_HK.dtype)


def tiles(a_BHTK: Tensor, b_BHSK: Tensor) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Slices of sentences and of queries, and r = 1 / (1 + a b) for them: (b, H, t, S, K)."""
    B, H, T, K = a_BHTK.shape
    tile = TILE if a_BHTK.is_cpu else GPU_TILE
    elements = max(1, H * b_BHSK.shape[2] * K)  # of one query
    queries = max(1, min(T, tile // elements))
    sentences = max(1, tile // (elements * max(1, T)))
    for first in range(0, B, sentences):
        b = slice(first, first + sentences)
        for start in range(0, T, queries):
            t = slice(start, start + queries)
            yield (b, t), (a_BHTK[b, :, t, None] * b_BHSK[b, :, None]).add_(1).reciprocal_()
