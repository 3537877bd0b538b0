"""Scaled dot-product attention compiled from the mask's own rule: torch's `flex_attention`.

Shapes: B sentences, H heads, T queries, S keys.
"""

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from dragoman.attention.base import KV
from dragoman.attention.dot import ScaledDot
from dragoman.attention.mask import Mask


class Flex(ScaledDot):
    """The numbers of `ScaledDot` from a kernel made for each rule. Needs a compiler; on a CPU it cannot train.

    ValueError for a `dropout`.
    """

    trains_on_cpu: ClassVar[bool] = False

    def __init__(self, *, dropout: float, num_heads: int, head_dim: int) -> None:
        super().__init__(dropout=dropout, num_heads=num_heads, head_dim=head_dim, scale=True)
        if dropout:
            raise ValueError(f"flex attention drops no weights: set `attention_dropout` ({dropout}) to 0.")

    @torch.compiler.disable  # it is compiled already: in a layer that is, too, it stands by itself
    def forward(self, q_BHTK: Tensor, past: KV, mask: Mask) -> Tensor:
        return from_rules(q_BHTK, past, mask, compiled(dynamic=not q_BHTK.is_cpu))


def from_rules(q_BHTK: Tensor, past: KV, mask: Mask, kernel: Any) -> Tensor:
    """`kernel`: torch's flex_attention, compiled or not. A row that may read nothing gets zeros from it."""
    T, S = q_BHTK.shape[2], past.k_BHSK.shape[2]
    blocks = create_block_mask(mask.rule(T, S), len(q_BHTK), None, T, S, device=q_BHTK.device.type)
    if mask.slopes is None:
        return kernel(q_BHTK, *past, block_mask=blocks)
    add = mask.tilt(T, S, q_BHTK.device)
    return kernel(q_BHTK, *past, score_mod=lambda score, *index: score + add(*index), block_mask=blocks)


@cache
def compiled(dynamic: bool) -> Any:
    """Once for the process. `dynamic`: for any lengths; torch 2.13's code for that does not compile on a CPU."""
    return torch.compile(flex_attention, dynamic=dynamic)
