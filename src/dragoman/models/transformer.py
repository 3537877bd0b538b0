"""The encoder-decoder Transformer: Vaswani et al. 2017, section 3.

Shapes: B sentences, S source positions, T target positions, D model width, V target vocabulary, R rows (hypotheses).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from dragoman.attention import KV, Attention, Mask, MultiHeadAttention
from dragoman.ids import PAD
from dragoman.models.layers import FEED_FORWARDS, NORMS, POSITIONS, Embedding, PostNorm
from dragoman.models.seq2seq import Seq2Seq

Choice = TypeVar("Choice")


class Memory(NamedTuple):
    """The source as every decoder layer sees it, and which of it is real."""

    layers: tuple[KV, ...]
    keys_BS: Tensor


class State(NamedTuple):
    """The target so far as every decoder layer sees it; None before the first token."""

    layers: tuple[KV | None, ...]


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network: section 3.1."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: nn.Module, residual: Callable[[], PostNorm]):
        super().__init__()
        self.self_attention = attention
        self.feed_forward = feed_forward
        self.around_self, self.around_feed_forward = residual(), residual()

    def forward(self, x_BSD: Tensor, mask: Mask) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attention(x, self.self_attention.read(x), mask)

        return self.around_feed_forward(self.around_self(x_BSD, attend), self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, then a feed-forward network: section 3.1."""

    def __init__(
        self,
        self_attention: MultiHeadAttention,
        cross_attention: MultiHeadAttention,
        feed_forward: nn.Module,
        residual: Callable[[], PostNorm],
    ):
        super().__init__()
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.around_self, self.around_cross, self.around_feed_forward = residual(), residual(), residual()

    def forward(self, x_RTD: Tensor, past: KV | None, source: KV, source_mask: Mask) -> tuple[Tensor, KV]:
        written: KV | None = None

        def attend(x: Tensor) -> Tensor:
            nonlocal written
            written = self.self_attention.read(x, past)
            # Padding stands on the right, so no real query reaches it: causality is mask enough.
            return self.self_attention(x, written, Mask("causal"))

        x_RTD = self.around_self(x_RTD, attend)
        x_RTD = self.around_cross(x_RTD, lambda x: self.cross_attention(x, source, source_mask))
        assert written is not None
        return self.around_feed_forward(x_RTD, self.feed_forward), written


class Transformer(Seq2Seq):
    """Encoder and decoder of any depth, with an attention chosen for each of its three places.

    `norm`: pre or post. `feed_forward`: relu, gelu or swiglu. `positions`: sinusoidal or learned. `tied_embeddings`:
    all (source, target and output share one table), target (target and output do) or none. Lengths are in tokens.
    """

    encoder: list[EncoderLayer]  # ModuleLists, which the type checker takes for lists of anything
    decoder: list[DecoderLayer]

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        dim: int,
        num_heads: int,
        feed_forward_dim: int,
        encoder_layers: int,
        decoder_layers: int,
        max_length: int,
        norm: str,
        feed_forward: str,
        positions: str,
        tied_embeddings: str,
        dropout: float,
        feed_forward_dropout: float,
        attention_dropout: float,
        encoder_attention: Callable[..., Attention],
        decoder_attention: Callable[..., Attention],
        cross_attention: Callable[..., Attention],
    ) -> None:
        super().__init__()
        if min(dim, num_heads, feed_forward_dim, encoder_layers, decoder_layers, max_length) < 1:
            raise ValueError("`dim`, `num_heads`, `feed_forward_dim`, the layers and `max_length` must be at least 1.")
        norm_type = choose("norm", norm, NORMS)
        make_feed_forward = choose("feed_forward", feed_forward, FEED_FORWARDS)
        self.max_length = max_length
        self.target_vocab_size = target_vocab_size

        def multi_head(attention: Callable[..., Attention]) -> MultiHeadAttention:
            return MultiHeadAttention(dim=dim, num_heads=num_heads, attention=attention(dropout=attention_dropout))

        def inner() -> nn.Module:
            return make_feed_forward(dim, feed_forward_dim, feed_forward_dropout)

        def residual() -> PostNorm:
            return norm_type(dim, dropout)

        def embedding(vocab_size: int) -> Embedding:
            return Embedding(vocab_size, dim, choose("positions", positions, POSITIONS)(dim, max_length), dropout)

        self.source = embedding(source_vocab_size)
        self.encoder = nn.ModuleList(  # type: ignore[assignment]
            EncoderLayer(multi_head(encoder_attention), inner(), residual) for _ in range(encoder_layers)
        )
        self.encoder_norm = norm_type.last(dim)
        self.target = embedding(target_vocab_size)
        self.decoder = nn.ModuleList(  # type: ignore[assignment]
            DecoderLayer(multi_head(decoder_attention), multi_head(cross_attention), inner(), residual)
            for _ in range(decoder_layers)
        )
        self.decoder_norm = norm_type.last(dim)
        self.output = nn.Linear(dim, target_vocab_size, bias=False)
        nn.init.normal_(self.output.weight, std=dim**-0.5)
        self._tie(tied_embeddings)

    def _tie(self, tied_embeddings: str) -> None:
        """Press and Wolf 2017; Vaswani et al. 2017, section 3.4."""
        tied = choose("tied_embeddings", tied_embeddings, {"all": 2, "target": 1, "none": 0})
        source, target = self.source.table, self.target.table
        if tied >= 1:
            self.output.weight = target.weight
        if tied == 2:
            if source.num_embeddings != target.num_embeddings:
                raise ValueError(
                    "`tied_embeddings: all` needs one vocabulary for both sides (`tokenizer.joint: true`), but the"
                    f" source has {source.num_embeddings} pieces and the target {target.num_embeddings};"
                    " choose `target`."
                )
            source.weight = target.weight

    def encode(self, src_BS: Tensor) -> Memory:
        keys_BS = src_BS != PAD
        x_BSD = self.source(src_BS, start=0)
        for layer in self.encoder:
            x_BSD = layer(x_BSD, Mask("self", keys_BS))
        x_BSD = self.encoder_norm(x_BSD)
        return Memory(tuple(layer.cross_attention.read(x_BSD) for layer in self.decoder), keys_BS)

    def start(self, memory: Memory) -> State:
        return State((None,) * len(self.decoder))

    def advance(self, tokens_RT: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        past = state.layers[0]
        x_RTD = self.target(tokens_RT, start=0 if past is None else past.k_BHSK.shape[2])
        layers = []
        for layer, written, source in zip(self.decoder, state.layers, memory.layers, strict=True):
            x_RTD, written = layer(x_RTD, written, source, Mask("cross", memory.keys_BS))
            layers.append(written)
        return self.output(self.decoder_norm(x_RTD)), State(tuple(layers))


def choose(key: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """The choice of that name, or an error that lists them."""
    if name not in choices:
        raise ValueError(f"`{key}` ({name}) must be one of {', '.join(choices)}.")
    return choices[name]
