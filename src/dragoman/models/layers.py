"""What Transformer layers are made of: residual connections, feed-forward networks, embeddings.

Shapes: B sentences, T positions, D model width, F inner width.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.attention import Attention
from dragoman.attention.mask import Kind
from dragoman.models.dropout import Dropout
from dragoman.models.positions import Positions

Choice = TypeVar("Choice")


class Sublayer(Protocol):
    """What a residual connection leads around."""

    asks: bool  # whether what it gives depends on what it gets


class PostNorm(nn.Module):
    """norm(x + f(x)), as published: Vaswani et al. 2017, section 3.1."""

    def __init__(self, dim: int, dropout: float, around: Sublayer) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.norm(x + self.dropout(sublayer(x)))

    @staticmethod
    def last(dim: int) -> nn.Module:
        """What stands after the last layer: nothing, it is normalised already."""
        return nn.Identity()


class PreNorm(PostNorm):
    """x + f(norm(x)): trains without warm-up and at depth. Xiong et al. 2020, section 3.2."""

    def __init__(self, dim: int, dropout: float, around: Sublayer) -> None:
        super().__init__(dim, dropout, around)
        self.norm.requires_grad_(around.asks)  # no gradient reaches it otherwise

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return x + self.dropout(sublayer(self.norm(x)))

    @staticmethod
    def last(dim: int) -> nn.Module:
        """What stands after the last layer: the sum of all the layers is normalised once."""
        return nn.LayerNorm(dim)


class FeedForward(nn.Module):
    """activation(x W₁ + b₁) W₂ + b₂. Vaswani et al. 2017, section 3.3."""

    asks = True

    def __init__(self, dim: int, inner: int, dropout: float, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.expand = xavier(nn.Linear(dim, inner))
        self.contract = xavier(nn.Linear(inner, dim))
        self.dropout = Dropout(dropout)
        self.activation = activation

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.contract(self.dropout(self.activation(self.expand(x_BTD))))


class GatedFeedForward(FeedForward):
    """(activation(x G + g) ⊙ (x W₁ + b₁)) W₂ + b₂, with SiLU it is SwiGLU. Shazeer 2020, section 2, has no biases."""

    def __init__(self, dim: int, inner: int, dropout: float, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__(dim, inner, dropout, activation)
        self.gate = xavier(nn.Linear(dim, inner))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.contract(self.dropout(self.activation(self.gate(x_BTD)) * self.expand(x_BTD)))


class NoFeedForward(nn.Module):
    """Adds nothing: what attention does by itself. Dong et al. 2021."""

    asks = False

    def __init__(self, dim: int, inner: int, dropout: float) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor) -> Tensor:
        return torch.zeros_like(x_BTD)


class Embedding(nn.Module):
    """Tokens and their positions: √D · E[token] + position. Vaswani et al. 2017, sections 3.4 and 3.5.

    ValueError for tokens behind the last position.
    """

    def __init__(self, vocab_size: int, dim: int, positions: Positions, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        self.positions = positions
        self.dropout = Dropout(dropout)
        self.scale = dim**0.5

    def forward(self, tokens_BT: Tensor, start: int) -> Tensor:
        """(B, T, D); the first token stands at position `start`."""
        end, reach = start + tokens_BT.shape[1], self.positions.max_length
        if end > reach:
            raise ValueError(f"A sentence of {end} tokens is longer than the model's `max_length` ({reach}).")
        return self.dropout(self.positions.add(self.table(tokens_BT) * self.scale, start))


def normal(linear: nn.Linear) -> nn.Linear:
    """Outputs that vary as the inputs do: normal, with a standard deviation of their number ** -½."""
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    return linear


def xavier(linear: nn.Linear) -> nn.Linear:
    """Glorot and Bengio 2010, uniform; biases zero."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def check_place(key: str, attention: Attention, kind: Kind, needed: str = "") -> None:
    """ValueError for an attention that may not stand in this place, or not beside the positions that need it to."""
    name = type(attention).__name__
    if kind not in attention.kinds:
        raise ValueError(f"`{key}`: {name} has no meaning there; choose fused.")
    if needed and needed not in attention.positions:
        raise ValueError(f"`{key}`: {name} does not go with `positions: {needed}`; choose sinusoidal, learned or none.")


def choose(key: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """The choice of that name, or a ValueError that lists them."""
    if name not in choices:
        raise ValueError(f"`{key}` ({name}) must be one of {', '.join(choices)}.")
    return choices[name]


NORMS: dict[str, type[PostNorm]] = {"pre": PreNorm, "post": PostNorm}
FEED_FORWARDS: dict[str, Callable[[int, int, float], FeedForward | NoFeedForward]] = {
    "relu": partial(FeedForward, activation=F.relu),
    "gelu": partial(FeedForward, activation=F.gelu),
    "swiglu": partial(GatedFeedForward, activation=F.silu),
    "none": NoFeedForward,
}
