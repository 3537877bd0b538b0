"""Scaled dot-product attention compiled from the mask's own rule, on a GPU: torch's `flex_attention`.

On a CPU it would be compiled anew for every length of a search, and has no backward pass.

Shapes: B sentences, H heads, T queries, S keys.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from dragoman.attention.base import KV
from dragoman.attention.fused import Fused
from dragoman.attention.mask import Mask


class Flex(Fused):
    """The numbers of `Fused`, which it is on a CPU, from a kernel made for each rule. ValueError for a `dropout`."""

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim)
        if dropout:
            raise ValueError(f"flex attention drops no weights: set `attention_dropout` ({dropout}) to 0.")

    @torch.compiler.disable  # it is compiled already: in a layer that is, too, it stands by itself
    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        return super().forward(q_BHTK, past, mask) if q_BHTK.is_cpu else from_rules(q_BHTK, past, mask, compiled())

    def kernel(self, q_BHTK: Tensor, past: KV, mask: Mask) -> str:
        return super().kernel(q_BHTK, past, mask) if q_BHTK.is_cpu else "flex attention"


def from_rules(q_BHTK: Tensor, past: KV, mask: Mask, kernel: Any) -> Tensor:
    """`kernel`: torch's flex_attention, compiled or not. A row that may read nothing gets zeros from it."""
    T, S = q_BHTK.shape[2], past.k_BHSK.shape[2]
    blocks = create_block_mask(mask.rule(T, S), len(q_BHTK), None, T, S, device=q_BHTK.device.type)
    if mask.slopes is None:
        return kernel(q_BHTK, *past, block_mask=blocks)
    add = mask.tilt(T, S, q_BHTK.device)
    return kernel(q_BHTK, *past, score_mod=lambda score, *index: score + add(*index), block_mask=blocks)


@cache
def compiled() -> Any:
    """Once for the process, for any lengths."""
    return torch.compile(flex_attention, dynamic=True)
