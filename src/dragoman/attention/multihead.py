"""The projections around an attention: several heads side by side. Vaswani et al. 2017, section 3.2.2.

Shapes: R rows of queries, B sentences of keys (R = B × rows per sentence), T queries, S keys, D model width, H heads,
K = D / H.
"""

from torch import Tensor, nn

from dragoman.attention.base import KV, Attention
from dragoman.attention.mask import Mask


class MultiHeadAttention(nn.Module):
    """`read` once, attend as often as needed.

    Self, causal, cross and cached attention are the same call; only the origin of the past differs. One past serves
    all the rows of its sentence (the hypotheses of a beam): R may be a multiple of B, rows of a sentence adjacent.
    """

    def __init__(self, *, dim: int, num_heads: int, attention: Attention) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"`dim` ({dim}) must be a multiple of `num_heads` ({num_heads}).")
        self.num_heads = num_heads
        self.attention = attention
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        for weight in (self.query.weight, *self.key_value.weight.chunk(2), self.output.weight):
            nn.init.xavier_uniform_(weight)
        for linear in (self.query, self.key_value, self.output):
            nn.init.zeros_(linear.bias)

    def read(self, memory_BSD: Tensor, past: KV | None = None) -> KV:
        """Project what is to be read and add it to what was read before."""
        k_BSD, v_BSD = self.key_value(memory_BSD).chunk(2, dim=-1)
        return self.attention.remember(past, self._split(k_BSD), self._split(v_BSD))

    def forward(self, x_RTD: Tensor, past: KV, mask: Mask) -> Tensor:
        """The context of every query, projected: (R, T, D)."""
        sentences = past.k_BHSK.shape[0]
        q_BHTK = fold(self._split(self.query(x_RTD)), sentences)
        context_RHTK = unfold(self.attention(q_BHTK, past, mask), x_RTD.shape[0])
        return self.output(context_RHTK.transpose(1, 2).flatten(2))

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


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
