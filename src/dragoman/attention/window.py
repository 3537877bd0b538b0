"""Attention to the neighbourhood, and to a few tokens that everybody reads: Beltagy et al. 2020, section 3.1.

Shapes: B sentences, H heads, T queries, S keys, K key width per head, N blocks, W width
of a block, C keys in its reach.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.attention.base import KV
from dragoman.attention.fused import Fused
from dragoman.attention.mask import Kind, Mask


class SlidingWindow(Fused):
    """Reads keys fewer than `window` positions away, to both sides or, where causal, back; time grows with S, not S².

    The first `global_tokens` of a sentence are read by every query and, as queries, read everything. A decoder keeps
    those and the keys still in reach. ValueError for a window below 1 or fewer than no global tokens.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"self", "causal"})
    positions: ClassVar[frozenset[str]] = frozenset({"rotary"})

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int, window: int, global_tokens: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        if window < 1 or global_tokens < 0:
            raise ValueError(
                f"`window` ({window}) must be at least 1 and `global_tokens` ({global_tokens}) at least 0."
            )
        self.window = window
        self.global_tokens = global_tokens

    def narrow(self, mask: Mask) -> Mask:
        """The same law with this window."""
        return replace(mask, window=self.window, global_tokens=self.global_tokens)

    def weights(self, q_BHTK: Tensor, k_BHSK: Tensor, mask: Mask) -> Tensor:
        return super().weights(q_BHTK, k_BHSK, self.narrow(mask))

    def remember(self, past: KV | None, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> KV:
        """Forgets what no later query can reach. What is left stays in order, so the rule still holds for it."""
        if past is not None:
            past = KV(*(self._in_reach(kept) for kept in past))
        return super().remember(past, k_BHSK, v_BHSV, mask)

    def _in_reach(self, x_BHSK: Tensor) -> Tensor:
        first, latest = self.global_tokens, self.window - 1
        older = x_BHSK.shape[2] - latest
        if older <= first:
            return x_BHSK
        return torch.cat((x_BHSK[:, :, :first], x_BHSK[:, :, older:]), dim=2)

    def in_blocks(self, q_BHTK: Tensor, past: KV) -> bool:
        """Whether blocks pay: in short sentences, or where everybody reads all, a whole row costs no more."""
        T, S = q_BHTK.shape[2], past.k_BHSK.shape[2]
        pays = 4 * self.window <= T and self.global_tokens <= T
        return T == S and pays and not (self.training and self.dropout > 0)

    def kernel(self, q_BHTK: Tensor, past: KV, mask: Mask) -> str:
        return "blocks" if self.in_blocks(q_BHTK, past) else super().kernel(q_BHTK, past, self.narrow(mask))

    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        if not self.in_blocks(q_BHTK, past):
            return super().forward(q_BHTK, past, self.narrow(mask))
        context_BHTV = blockwise(q_BHTK, past, self.narrow(mask))
        g = self.global_tokens
        if not g or mask.kind == "causal":
            return context_BHTV
        whole_BHTV = super().forward(q_BHTK[:, :, :g], past, mask)  # these read everything
        return torch.cat((whole_BHTV, context_BHTV[:, :, g:]), dim=2)


def blockwise(q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
    """Blocks of `window` queries, each with its own keys, those beside it and the global ones: no tensor of T × S.

    For queries that are all of the keys, no fewer than the global ones, which read here no more than the others.
    """
    T, W, g = q_BHTK.shape[2], mask.window or 1, mask.global_tokens
    N, right = -(-T // W), 0 if mask.kind == "causal" else W
    q_BHNWK = F.pad(q_BHTK, (0, 0, 0, N * W - T)).unflatten(2, (N, W)) * q_BHTK.shape[-1] ** -0.5
    k_BHNKC, v_BHNVC = (F.pad(x, (0, 0, W, N * W - T + right)).unfold(2, 2 * W + right, W) for x in past)
    global_BHKg, global_BH1gV = past.k_BHSK[:, :, :g].transpose(-1, -2)[:, :, None], past.v_BHSV[:, :, None, :g]
    scores_BHNWC = torch.cat((q_BHNWK @ global_BHKg, q_BHNWK @ k_BHNKC), dim=-1)
    allowed = reach(T, N, mask, q_BHTK.device)
    lowest = torch.finfo(scores_BHNWC.dtype).min
    weights_BHNWC = scores_BHNWC.masked_fill(~allowed, lowest).softmax(-1)
    local, whole = weights_BHNWC[..., g:], weights_BHNWC[..., :g]
    context_BHNWV = local @ v_BHNVC.transpose(-1, -2) + whole @ global_BH1gV
    return (context_BHNWV * allowed.any(-1, keepdim=True)).flatten(2, 3)[:, :, :T]


def reach(T: int, N: int, mask: Mask, device: torch.device) -> Tensor:
    """The mask's rule over each block's keys, the global ones first: (B or 1, 1, N, W, C)."""
    W, g = mask.window or 1, mask.global_tokens
    width = 2 * W if mask.kind == "causal" else 3 * W
    block_N11 = torch.arange(N, device=device)[:, None, None]
    query_NW1 = block_N11 * W + torch.arange(W, device=device)[:, None]
    near_N1C = (block_N11 - 1) * W + torch.arange(width, device=device)
    key_N1C = torch.cat((torch.arange(g, device=device).expand(N, 1, g), near_N1C), dim=-1)
    once_N1C = torch.cat((torch.ones(N, 1, g, dtype=torch.bool, device=device), near_N1C >= g), dim=-1)
    sentence = torch.arange(1 if mask.keys_BS is None else len(mask.keys_BS), device=device).view(-1, 1, 1, 1, 1)
    may_read = mask.rule(T, T)(sentence, torch.zeros_like(sentence), query_NW1, key_N1C.clamp(0, T - 1))
    return may_read & once_N1C & (key_N1C < T)
