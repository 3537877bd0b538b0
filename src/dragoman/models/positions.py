"""How a model that reads everything at once knows where a token stands.

Shapes: B sentences, H heads, T positions, D model width, K key width per head.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn


class Positions(nn.Module):
    """None at all: what stands where can only be told from causality. `max_length`: how many there are.

    A kind of positions does one of three things: `add` to embeddings, `rotate` queries and keys of self-attention, or
    take off its scores by distance (`slopes`).
    """

    needs: ClassVar[str] = ""  # what an attention must list in its `positions` to stand beside it

    def __init__(self, *, dim: int, num_heads: int, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length

    def add(self, x_BTD: Tensor, start: int) -> Tensor:
        """To embeddings, the first of which stands at position `start`."""
        return x_BTD

    def rotate(self, x_BHTK: Tensor, start: int) -> Tensor:
        """Queries or keys, the first of which stands at position `start`."""
        return x_BHTK

    def slopes(self) -> tuple[float, ...] | None:
        """For each head, what a position of distance takes off the score."""
        return None


class Sinusoidal(Positions):
    """sin and cos of geometric wavelengths from 2π to 10000 · 2π. Vaswani et al. 2017, section 3.5."""

    table: Tensor

    def __init__(self, *, dim: int, num_heads: int, max_length: int) -> None:
        super().__init__(dim=dim, num_heads=num_heads, max_length=max_length)
        angle = torch.arange(max_length)[:, None] / 10000 ** (torch.arange(0, dim, 2) / dim)
        table = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :dim]
        self.register_buffer("table", table, persistent=False)

    def add(self, x_BTD: Tensor, start: int) -> Tensor:
        return x_BTD + self.table[start : start + x_BTD.shape[1]]


class Learned(Positions):
    """A trained vector for each position up to `max_length`. Gehring et al. 2017, section 3.1."""

    def __init__(self, *, dim: int, num_heads: int, max_length: int) -> None:
        super().__init__(dim=dim, num_heads=num_heads, max_length=max_length)
        self.table = nn.Parameter(torch.randn(max_length, dim) * dim**-0.5)

    def add(self, x_BTD: Tensor, start: int) -> Tensor:
        return x_BTD + self.table[start : start + x_BTD.shape[1]]


class Rotary(Positions):
    """Turns pairs of a query's or key's numbers by an angle that grows with the position: their product then depends on
    the distance alone. Su et al. 2021, section 3.4.2, equation 34, the pairs made of the two halves, not of neighbours.

    ValueError for heads of an odd width.
    """

    needs = "rotary"
    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, *, dim: int, num_heads: int, max_length: int) -> None:
        super().__init__(dim=dim, num_heads=num_heads, max_length=max_length)
        K = dim // num_heads
        if K % 2:
            raise ValueError(f"`positions: rotary` needs heads of an even width, but `dim` / `num_heads` is {K}.")
        angle_TK = torch.arange(max_length)[:, None] / 10000 ** (torch.arange(0, K, 2) / K)
        angle_TK = torch.cat((angle_TK, angle_TK), dim=1)
        self.register_buffer("cos_TK", angle_TK.cos(), persistent=False)
        self.register_buffer("sin_TK", angle_TK.sin(), persistent=False)

    def rotate(self, x_BHTK: Tensor, start: int) -> Tensor:
        rows = slice(start, start + x_BHTK.shape[2])
        first, second = x_BHTK.chunk(2, dim=-1)
        quarter_BHTK = torch.cat((-second, first), dim=-1)  # turned by π/2
        return x_BHTK * self.cos_TK[rows].to(x_BHTK.dtype) + quarter_BHTK * self.sin_TK[rows].to(x_BHTK.dtype)


class Alibi(Positions):
    """A penalty proportional to the distance, another for each head. Press et al. 2022, section 3.

    Slopes 2^(-8/H), 2^(-16/H), …, to both sides in the encoder.
    """

    needs = "alibi"

    def __init__(self, *, dim: int, num_heads: int, max_length: int) -> None:
        super().__init__(dim=dim, num_heads=num_heads, max_length=max_length)
        self.num_heads = num_heads

    def slopes(self) -> tuple[float, ...]:
        return tuple(2 ** (-8 * (head + 1) / self.num_heads) for head in range(self.num_heads))


POSITIONS: dict[str, type[Positions]] = {
    "sinusoidal": Sinusoidal,
    "learned": Learned,
    "rotary": Rotary,
    "alibi": Alibi,
    "none": Positions,
}
