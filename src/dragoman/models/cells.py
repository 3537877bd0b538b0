"""What recurrent models are made of: cells that take a context, the readout, reading from the other end.

Shapes: B sentences, S source positions, T target positions, R rows, E embedding width, N state width, C context width,
L maxout width, V target vocabulary.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from dragoman.attention.base import at_least_fp32
from dragoman.models.dropout import Dropout
from dragoman.models.layers import normal, xavier


class GRUCell(nn.Module):
    """Bahdanau et al. 2015, section A.1.1, with the context of A.2.2. The reset gate comes before the product, which
    in torch's GRU it does not:

    z, r = σ(W e + U s + C c), s̃ = tanh(W e + U [r ∘ s] + C c), s' = (1 - z) ∘ s + z ∘ s̃
    """

    parts: ClassVar[int] = 1  # vectors that are its state
    gates: ClassVar[int] = 3

    def __init__(self, embedding_dim: int, context_dim: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.word = xavier(nn.Linear(embedding_dim, self.gates * dim))
        self.context = xavier(nn.Linear(context_dim, self.gates * dim, bias=False))
        self.gate = nn.Linear(dim, 2 * dim, bias=False)
        self.proposal = nn.Linear(dim, dim, bias=False)
        for weight in (*self.gate.weight.chunk(2), self.proposal.weight):
            nn.init.orthogonal_(weight)

    def begin(self, first_BN: Tensor) -> tuple[Tensor, ...]:
        """s_0; in fp32 at least, so that small updates are not lost."""
        return (at_least_fp32(first_BN.tanh()),)

    def prepare(self, words_RTE: Tensor) -> Tensor:
        """The part of all steps that is known beforehand: (R, T, 3N)."""
        return self.word(words_RTE)

    def forward(self, word_RG: Tensor, context_RC: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (s_RN,) = state
        known = word_RG + self.context(context_RC)
        z, r = (known[:, : 2 * self.dim] + self.gate(s_RN)).sigmoid().chunk(2, dim=-1)
        proposal_RN = (known[:, 2 * self.dim :] + self.proposal(r * s_RN)).tanh()
        return (s_RN + z * (proposal_RN - s_RN),)


class LSTMCell(nn.Module):
    """Hochreiter and Schmidhuber 1997 with forget gates, as in Sutskever et al. 2014; a context beside the word:

    i, f, o = σ(W e + U s + C c), g = tanh(W e + U s + C c), m' = f ∘ m + i ∘ g, s' = o ∘ tanh(m')
    """

    parts: ClassVar[int] = 2  # s and the cell's memory m
    gates: ClassVar[int] = 4

    def __init__(self, embedding_dim: int, context_dim: int, dim: int) -> None:
        super().__init__()
        self.word = xavier(nn.Linear(embedding_dim, self.gates * dim))
        self.context = xavier(nn.Linear(context_dim, self.gates * dim, bias=False))
        self.gate = nn.Linear(dim, self.gates * dim, bias=False)
        for weight in self.gate.weight.chunk(self.gates):
            nn.init.orthogonal_(weight)

    def begin(self, first_BN: Tensor) -> tuple[Tensor, ...]:
        """s_0 and m_0; in fp32 at least."""
        s_BN, m_BN = at_least_fp32(first_BN).chunk(2, dim=-1)
        return s_BN.tanh(), m_BN

    def prepare(self, words_RTE: Tensor) -> Tensor:
        """The part of all steps that is known beforehand: (R, T, 4N)."""
        return self.word(words_RTE)

    def forward(self, word_RG: Tensor, context_RC: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        s_RN, m_RN = state
        i, f, o, g = (word_RG + self.context(context_RC) + self.gate(s_RN)).chunk(self.gates, dim=-1)
        m_RN = f.sigmoid() * m_RN + i.sigmoid() * g.tanh()
        return o.sigmoid() * m_RN.tanh(), m_RN


class Readout(nn.Module):
    """From the last state, the last word and the context to logits: one maxout layer (Goodfellow et al. 2013).

    t̃ = U s_{i-1} + V e + C c_i, t_l = max(t̃_{2l}, t̃_{2l+1}), logits W t: Bahdanau et al. 2015, section A.2.2.
    """

    def __init__(
        self, embedding_dim: int, dim: int, context_dim: int, readout_dim: int, vocab_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.word = xavier(nn.Linear(embedding_dim, 2 * readout_dim))
        self.state = xavier(nn.Linear(dim, 2 * readout_dim, bias=False))
        self.context = xavier(nn.Linear(context_dim, 2 * readout_dim, bias=False))
        self.dropout = Dropout(dropout)
        self.output = normal(nn.Linear(readout_dim, vocab_size, bias=False))

    def forward(self, words_RTE: Tensor, before_RTN: Tensor, context_RTC: Tensor) -> Tensor:
        pairs_RTL2 = (self.word(words_RTE) + self.state(before_RTN) + self.context(context_RTC)).unflatten(-1, (-1, 2))
        return self.output(self.dropout(pairs_RTL2.amax(-1)))


def turned(x_BSE: Tensor, keys_BS: Tensor) -> Tensor:
    """Each sentence from its end to its beginning; padding stays where it is."""
    lengths_B1 = keys_BS.sum(1, keepdim=True)
    place_BS = torch.arange(keys_BS.shape[1], device=keys_BS.device).expand_as(keys_BS)
    from_BS = torch.where(place_BS < lengths_B1, lengths_B1 - 1 - place_BS, place_BS)
    return x_BSE.gather(1, from_BS[:, :, None].expand_as(x_BSE))


CELLS: dict[str, type[GRUCell] | type[LSTMCell]] = {"gru": GRUCell, "lstm": LSTMCell}
READERS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
