"""What came before: RNNsearch, and the one vector that it replaced. Bahdanau et al. 2015, appendix A.

Shapes: B sentences, S source positions, T target positions, R rows (hypotheses), E embedding width, N state width,
A attention width, C context width, G gates × N, L maxout width, V target vocabulary.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dragoman.attention import Attention, Fixed, Mask
from dragoman.attention.multihead import fold, unfold
from dragoman.ids import PAD
from dragoman.models.cells import CELLS, READERS, Readout, turned
from dragoman.models.dropout import Dropout
from dragoman.models.layers import check_place, choose, xavier
from dragoman.models.seq2seq import Seq2Seq, check_length


class Memory(NamedTuple):
    """What the attention remembers of the source, which of it is real, and the state to begin with."""

    past: Any
    keys_BS: Tensor
    start: tuple[Tensor, ...]


class Recurrent(Seq2Seq):
    """A decoder that writes token by token: what it looks at (c_i) and its new state (s_i) follow from the last.

    The state is a tuple of (R, N), the first of which is s.
    """

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int,
        dim: int,
        context_dim: int,
        readout_dim: int,
        max_length: int,
        cell: str,
        dropout: float,
        attention: Attention,
    ) -> None:
        super().__init__()
        if min(embedding_dim, dim, readout_dim) < 1:
            raise ValueError("`embedding_dim`, `dim` and `readout_dim` must be at least 1.")
        check_length(max_length)
        self.max_length = max_length
        self.target_vocab_size = target_vocab_size
        self.source = nn.Embedding(source_vocab_size, embedding_dim)
        self.target = nn.Embedding(target_vocab_size, embedding_dim)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = Dropout(dropout)
        self.attention = attention
        self.cell = choose("cell", cell, CELLS)(embedding_dim, context_dim, dim)
        self.readout = Readout(embedding_dim, dim, context_dim, readout_dim, target_vocab_size, dropout)

    @abstractmethod
    def query(self, s_RN: Tensor) -> Tensor:
        """What a state asks the attention for: (R, A)."""

    def start(self, memory: Memory) -> tuple[Tensor, ...]:
        return memory.start

    def advance(
        self, tokens_RT: Tensor, state: tuple[Tensor, ...], memory: Memory
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        mask = Mask("cross", memory.keys_BS)
        words_RTE = self.dropout(self.target(tokens_RT))
        before, contexts = [], []
        for word_RG in self.cell.prepare(words_RTE).unbind(1):
            q_B1TA = fold(self.query(state[0])[:, None, None], len(memory.keys_BS))
            context_RC = unfold(self.attention(q_B1TA, memory.past, mask), len(tokens_RT))[:, 0, 0]
            before.append(state[0])
            contexts.append(context_RC)
            state = self.cell(word_RG, context_RC, state)
        return self.readout(words_RTE, torch.stack(before, dim=1), torch.stack(contexts, dim=1)), state


class RNNsearch(Recurrent):
    """An encoder that reads both ways and a decoder that searches it: Bahdanau et al. 2015, sections 3 and A.

    h_j = [→h_j; ←h_j], s_0 = tanh(W_s ←h_1), c_i = Σ_j α_ij h_j, weighted for W_a s_{i-1} and U_a h_j. The decoder's
    cell is the paper's. The encoder's is torch's GRU, whose reset gate comes after the recurrent product, not before.
    `cross_attention` is additive in the paper; any other may stand there that can read a source. Lengths are in tokens.
    ValueError for one that cannot, for a size below 1 and for a `max_length` or a dropout out of bounds.
    """

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int,
        dim: int,
        attention_dim: int,
        readout_dim: int,
        max_length: int,
        dropout: float,
        attention_dropout: float,
        cross_attention: Callable[..., Attention],
    ) -> None:
        if attention_dim < 1:
            raise ValueError(f"`attention_dim` ({attention_dim}) must be at least 1.")
        super().__init__(
            source_vocab_size=source_vocab_size,
            target_vocab_size=target_vocab_size,
            embedding_dim=embedding_dim,
            dim=dim,
            context_dim=2 * dim,
            readout_dim=readout_dim,
            max_length=max_length,
            cell="gru",
            dropout=dropout,
            attention=cross_attention(dropout=attention_dropout, num_heads=1, head_dim=attention_dim),
        )
        check_place("cross_attention", self.attention, "cross")
        self.forwards = nn.GRU(embedding_dim, dim, batch_first=True)
        self.backwards = nn.GRU(embedding_dim, dim, batch_first=True)
        self.first = xavier(nn.Linear(dim, dim))
        self.query_projection = xavier(nn.Linear(dim, attention_dim))
        self.key_projection = xavier(nn.Linear(2 * dim, attention_dim))
        for projection in (self.query_projection, self.key_projection):
            projection.requires_grad_(self.attention.asks)  # no gradient reaches them otherwise

    def query(self, s_RN: Tensor) -> Tensor:
        return self.query_projection(s_RN)

    def encode(self, src_BS: Tensor) -> Memory:
        keys_BS = src_BS != PAD
        words_BSE = self.dropout(self.source(src_BS))
        right_BSN = self.forwards(words_BSE)[0]
        left_BSN = turned(self.backwards(turned(words_BSE, keys_BS))[0], keys_BS)
        h_BSC = torch.cat((right_BSN, left_BSN), dim=-1)
        past = self.attention.remember(
            None, self.key_projection(h_BSC)[:, None], h_BSC[:, None], Mask("cross", keys_BS)
        )
        return Memory(past, keys_BS, self.cell.begin(self.first(left_BSN[:, 0])))


class RNNEncoderDecoder(Recurrent):
    """The whole source in one vector: c_i is the last forward state whatever is asked, and s_0 comes from it alone.

    Cho et al. 2014, section 2.2, in the words of Bahdanau et al. 2015, section A.2.2: the decoder is that of RNNsearch.
    `cell`: gru, or lstm (Sutskever et al. 2014) for encoder and decoder. Lengths are in tokens. ValueError for another
    cell, for a size below 1 and for a `max_length` or a dropout out of bounds.
    """

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int,
        dim: int,
        readout_dim: int,
        max_length: int,
        cell: str,
        dropout: float,
    ) -> None:
        super().__init__(
            source_vocab_size=source_vocab_size,
            target_vocab_size=target_vocab_size,
            embedding_dim=embedding_dim,
            dim=dim,
            context_dim=dim,
            readout_dim=readout_dim,
            max_length=max_length,
            cell=cell,
            dropout=dropout,
            attention=Fixed(dropout=0.0, num_heads=1, head_dim=dim),
        )
        self.forwards = READERS[cell](embedding_dim, dim, batch_first=True)
        self.first = xavier(nn.Linear(dim, self.cell.parts * dim))

    def query(self, s_RN: Tensor) -> Tensor:
        return s_RN

    def encode(self, src_BS: Tensor) -> Memory:
        keys_BS = src_BS != PAD
        h_B1SN = self.forwards(self.dropout(self.source(src_BS)))[0][:, None]
        past = self.attention.remember(None, h_B1SN, h_B1SN, Mask("cross", keys_BS))
        return Memory(past, keys_BS, self.cell.begin(self.first(past.v_BHSV[:, 0, 0])))
