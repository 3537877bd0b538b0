"""The projections around an attention: several heads side by side. Vaswani et al. 2017, section 3.2.2.

Shapes: R rows of queries, B sentences of keys (R = B × rows per sentence), T queries, S keys, D model width, H heads,
G heads of keys and values, K = D / H.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dragoman.attention.base import Attention
from dragoman.attention.mask import Mask


def stay(x_BHTK: Tensor) -> Tensor:
    """Queries and keys as projected; positions that rotate them pass another function."""
    return x_BHTK


class MultiHeadAttention(nn.Module):
    """`read` once, attend as often as needed.

    Self, causal, cross and cached attention are the same call; only the origin of the past differs. One past serves
    all the rows of its sentence (the hypotheses of a beam): R may be a multiple of B, rows of a sentence adjacent.
    With fewer `num_kv_heads` than `num_heads` neighbouring queries share keys and values: one is multi-query (Shazeer
    2019, section 3), some are grouped-query attention (Ainslie et al. 2023, section 2.2). ValueError for a `dim` that
    is no multiple of `num_heads`, or those none of `num_kv_heads`.
    """

    def __init__(self, *, dim: int, num_heads: int, num_kv_heads: int, attention: Callable[..., Attention]) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"`dim` ({dim}) must be a multiple of `num_heads` ({num_heads}).")
        if num_kv_heads < 1 or num_heads % num_kv_heads:
            raise ValueError(f"`num_heads` ({num_heads}) must be a multiple of `num_kv_heads` ({num_kv_heads}).")
        self.head_dim = dim // num_heads
        self.sharing = num_heads // num_kv_heads
        self.attention = attention(num_heads=num_heads, head_dim=self.head_dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * num_kv_heads * self.head_dim)
        self.output = nn.Linear(dim, dim)
        for weight in (self.query.weight, *self.key_value.weight.chunk(2), self.output.weight):
            nn.init.xavier_uniform_(weight)
        for linear in (self.query, self.key_value, self.output):
            nn.init.zeros_(linear.bias)
        self.asks = self.attention.asks
        self.query.requires_grad_(self.asks)  # ranks that train together would wait for its gradient for ever

    def read(self, memory_BSD: Tensor, mask: Mask, past: Any = None, rotate: Callable[[Tensor], Tensor] = stay) -> Any:
        """Project what is to be read and add it to what was read before."""
        k_BSD, v_BSD = self.key_value(memory_BSD).chunk(2, dim=-1)
        return self.attention.remember(past, rotate(self._split(k_BSD)), self._split(v_BSD), mask)

    def forward(self, x_RTD: Tensor, past: Any, mask: Mask, rotate: Callable[[Tensor], Tensor] = stay) -> Tensor:
        """The context of every query, projected: (R, T, D)."""
        q_BHTK = fold(rotate(self._split(self.query(x_RTD))), len(past[0]))
        context_RHTK = unfold(self.attention(q_BHTK, share(past, self.sharing), mask), len(x_RTD))
        return self.output(context_RHTK.transpose(1, 2).flatten(2))

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def share(past: Any, queries: int) -> Any:
    """Each head of what was read, for so many heads of queries."""
    if queries == 1:
        return past
    parts = [None if part is None else part.repeat_interleave(queries, dim=1) for part in past]
    return type(past)(*parts)


def fold(q_RHTK: Tensor, sentences: int) -> Tensor:
    """Rows of one sentence → more queries of that sentence: (R, H, T, K) → (B, H, R/B · T, K)."""
    if q_RHTK.shape[0] == sentences:
        return q_RHTK
    return q_RHTK.unflatten(0, (sentences, -1)).transpose(1, 2).flatten(2, 3)


def unfold(x_BHTK: Tensor, rows: int) -> Tensor:
    """The inverse of `fold`."""
    sentences = x_BHTK.shape[0]
    if rows == sentences:
        return x_BHTK
    return x_BHTK.unflatten(2, (rows // sentences, -1)).transpose(1, 2).flatten(0, 1)
