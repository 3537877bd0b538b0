"""Scaled dot-product attention by the fastest exact kernel for the device and the gradient at hand.

That is torch's `scaled_dot_product_attention`, with one exception. On a CPU its backward pass in bf16 is several times
slower, for sentences, than two matrix products around a softmax: `benchmarks/kernels.py`. So training takes those
there, but for long texts, where a tensor of all pairs no longer fits the cache.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend

from dragoman.attention.base import KV
from dragoman.attention.dot import ScaledDot
from dragoman.attention.mask import Mask

LONG = 1 << 20  # pairs of a query and a key of one head: 1,024 by 1,024


class Fused(ScaledDot):
    """The default: the numbers of `ScaledDot`, sooner."""

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim, scale=True)

    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        way = self.way(q_BHTK, past)
        if way == "matrix products with dropout":
            return super().forward(q_BHTK, past, mask)
        if way == "two matrix products":
            return two_products(q_BHTK, past, mask)
        return one_kernel(q_BHTK, past, mask, dropout=self.dropped)

    def kernel(self, q_BHTK: Tensor, past: KV, mask: Mask) -> str:
        """The name of what `forward` runs for these; for torch's own kernels the one that its dispatcher picks."""
        way = self.way(q_BHTK, past)
        if way != "torch":
            return way
        allowed, square = rendered(q_BHTK, past, mask)
        choice = torch._fused_sdp_choice(q_BHTK, *past, attn_mask=allowed, dropout_p=self.dropped, is_causal=square)
        return SDPBackend(choice).name.lower().replace("_", " ")

    def way(self, q_BHTK: Tensor, past: KV) -> Literal["torch", "matrix products with dropout", "two matrix products"]:
        """The soonest: torch's kernel, but on a CPU for dropping weights and for training on sentences in bf16."""
        if not q_BHTK.is_cpu:
            return "torch"
        if self.dropped:
            return "matrix products with dropout"
        half = q_BHTK.dtype in (torch.bfloat16, torch.float16)
        few = q_BHTK.shape[2] * past.k_BHSK.shape[2] < LONG
        return "two matrix products" if half and few and torch.is_grad_enabled() else "torch"

    @property
    def dropped(self) -> float:
        """The probability of dropping a weight, in the mode at hand."""
        return self.dropout if self.training else 0.0


def one_kernel(q_BHTK: Tensor, past: KV, mask: Mask, *, dropout: float) -> Tensor:
    """torch's kernel. It applies `dropout` whatever the mode, so pass 0 outside training."""
    allowed, square = rendered(q_BHTK, past, mask)
    return F.scaled_dot_product_attention(q_BHTK, *past, attn_mask=allowed, dropout_p=dropout, is_causal=square)


def rendered(q_BHTK: Tensor, past: KV, mask: Mask) -> tuple[Tensor | None, bool]:
    """The mask as torch's kernel takes it: allowed keys or scores to add, and whether its own causal rule will do."""
    T, S, device = q_BHTK.shape[2], past.k_BHSK.shape[2], q_BHTK.device
    bias = mask.bias(T, S, device)
    # `is_causal` is aligned upper left: right only where the queries are all of the keys.
    if mask.kind == "causal" and mask.keys_BS is None and mask.window is None and bias is None and T == S:
        return None, True
    allowed = mask.dense(T, S, device)
    if bias is None or allowed is None:
        return (allowed if bias is None else bias.to(q_BHTK.dtype)), False
    # torch gives zero to a row that may read nothing only where that is -inf throughout.
    return bias.masked_fill(~allowed, -torch.inf).to(q_BHTK.dtype), False


def two_products(q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
    """Two batched matrix products around a softmax, the mask added in place: the least memory traffic on a CPU."""
    T, S, device = q_BHTK.shape[2], past.k_BHSK.shape[2], q_BHTK.device
    bias, allowed = mask.bias(T, S, device), mask.dense(T, S, device)
    scores_BHTS = (q_BHTK * q_BHTK.shape[-1] ** -0.5) @ past.k_BHSK.transpose(-1, -2)
    if bias is not None:
        scores_BHTS += bias
    if allowed is None:
        return scores_BHTS.softmax(-1) @ past.v_BHSV
    # Half the lowest number: a row that may read nothing would turn into NaN where that and a score make -inf. To add
    # is sooner than to fill: of a constant nothing goes back.
    lowest = torch.finfo(scores_BHTS.dtype).min / 2
    scores_BHTS += torch.zeros_like(allowed, dtype=scores_BHTS.dtype).masked_fill_(~allowed, lowest)
    return scores_BHTS.softmax(-1) @ past.v_BHSV * allowed.any(-1, keepdim=True)  # nothing to read: nothing got
