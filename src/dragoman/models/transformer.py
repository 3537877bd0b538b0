"""The encoder-decoder Transformer: Vaswani et al. 2017, section 3.

Shapes: B sentences, S source positions, T target positions, D model width, V target vocabulary, R rows (hypotheses).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from dragoman.attention import Attention, Mask, MultiHeadAttention
from dragoman.ids import PAD
from dragoman.models.layers import (
    FEED_FORWARDS,
    NORMS,
    Embedding,
    FeedForward,
    NoFeedForward,
    PostNorm,
    Sublayer,
    check_place,
    choose,
    normal,
)
from dragoman.models.positions import POSITIONS
from dragoman.models.seq2seq import Seq2Seq, check_length


class Memory(NamedTuple):
    """The source as every decoder layer sees it, and which of it is real."""

    layers: tuple[Any, ...]  # the past of each cross-attention
    keys_BS: Tensor


class State(NamedTuple):
    """The target so far as every decoder layer sees it, None before the first token; and its length."""

    layers: tuple[Any, ...]
    length: int


Rotate = Callable[[Tensor], Tensor]
Residual = Callable[[Sublayer], PostNorm]


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network: section 3.1."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: FeedForward | NoFeedForward, residual: Residual):
        super().__init__()
        self.self_attention = attention
        self.feed_forward = feed_forward
        self.around_self, self.around_feed_forward = residual(attention), residual(feed_forward)

    def forward(self, x_BSD: Tensor, mask: Mask, rotate: Rotate) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attention(x, self.self_attention.read(x, mask, rotate=rotate), mask, rotate)

        return self.around_feed_forward(self.around_self(x_BSD, attend), self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, then a feed-forward network: section 3.1."""

    def __init__(
        self,
        self_attention: MultiHeadAttention,
        cross_attention: MultiHeadAttention,
        feed_forward: FeedForward | NoFeedForward,
        residual: Residual,
    ):
        super().__init__()
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.around_self, self.around_cross = residual(self_attention), residual(cross_attention)
        self.around_feed_forward = residual(feed_forward)

    def forward(
        self, x_RTD: Tensor, past: Any, mask: Mask, source: Any, source_mask: Mask, rotate: Rotate
    ) -> tuple[Tensor, Any]:
        written = None

        def attend(x: Tensor) -> Tensor:
            nonlocal written
            written = self.self_attention.read(x, mask, past, rotate)
            return self.self_attention(x, written, mask, rotate)

        x_RTD = self.around_self(x_RTD, attend)
        x_RTD = self.around_cross(x_RTD, lambda x: self.cross_attention(x, source, source_mask))
        return self.around_feed_forward(x_RTD, self.feed_forward), written


class Transformer(Seq2Seq):
    """Encoder and decoder of any depth, with an attention chosen for each of its three places.

    `norm`: pre or post. `feed_forward`: relu, gelu, swiglu or none. `positions`: sinusoidal, learned, rotary, alibi or
    none. `tied_embeddings`: all (source, target and output share one table), target (target and output do) or none.
    Lengths are in tokens. ValueError for an attention that cannot stand where it is put, for names that are none of
    these, for sizes that do not go together; and for a sentence that is longer than `max_length`.
    """

    encoder: list[EncoderLayer]
    decoder: list[DecoderLayer]

    def __init__(
        self,
        *,
        source_vocab_size: int,
        target_vocab_size: int,
        dim: int,
        num_heads: int,
        num_kv_heads: int,
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
        if min(dim, num_heads, feed_forward_dim, encoder_layers, decoder_layers) < 1:
            raise ValueError("`dim`, `num_heads`, `feed_forward_dim` and the layers must be at least 1.")
        check_length(max_length)
        self.max_length = max_length
        self.target_vocab_size = target_vocab_size
        norm_type = choose("norm", norm, NORMS)
        feed = partial(choose("feed_forward", feed_forward, FEED_FORWARDS), dim, feed_forward_dim, feed_forward_dropout)
        where = partial(choose("positions", positions, POSITIONS), dim=dim, num_heads=num_heads, max_length=max_length)
        residual = partial(norm_type, dim, dropout)
        heads = partial(MultiHeadAttention, dim=dim, num_heads=num_heads, num_kv_heads=num_kv_heads)
        attentions = (encoder_attention, decoder_attention, cross_attention)
        own, causal, cross = (partial(heads, attention=partial(one, dropout=attention_dropout)) for one in attentions)
        self.source = Embedding(source_vocab_size, dim, where(), dropout)
        self.encoder = stack(encoder_layers, lambda: EncoderLayer(own(), feed(), residual))
        self.encoder_norm = norm_type.last(dim)
        self.target = Embedding(target_vocab_size, dim, where(), dropout)
        self.decoder = stack(decoder_layers, lambda: DecoderLayer(causal(), cross(), feed(), residual))
        self.decoder_norm = norm_type.last(dim)
        self.output = normal(nn.Linear(dim, target_vocab_size, bias=False))
        self._tie(tied_embeddings)
        self._check_places()

    def _tie(self, tied_embeddings: str) -> None:
        """Press and Wolf 2017; Vaswani et al. 2017, section 3.4."""
        tied = choose("tied_embeddings", tied_embeddings, {name: name for name in ("all", "target", "none")})
        source, target = self.source.table, self.target.table
        if tied in ("all", "target"):
            self.output.weight = target.weight
        if tied == "all":
            if source.num_embeddings != target.num_embeddings:
                raise ValueError(
                    "`tied_embeddings: all` needs one vocabulary for both sides (`tokenizer.joint: true`), but the"
                    f" source has {source.num_embeddings} pieces and the target {target.num_embeddings};"
                    " choose `target`."
                )
            source.weight = target.weight

    def _check_places(self) -> None:
        encoder, decoder, needed = self.encoder[0], self.decoder[0], self.source.positions.needs
        check_place("encoder_attention", encoder.self_attention.attention, "self", needed)
        check_place("decoder_attention", decoder.self_attention.attention, "causal", needed)
        check_place("cross_attention", decoder.cross_attention.attention, "cross")

    def encode(self, src_BS: Tensor) -> Memory:
        keys_BS = src_BS != PAD
        positions = self.source.positions
        mask, rotate = Mask("self", keys_BS, slopes=positions.slopes()), partial(positions.rotate, start=0)
        x_BSD = self.source(src_BS, start=0)
        for layer in self.encoder:
            x_BSD = layer(x_BSD, mask, rotate)
        x_BSD = self.encoder_norm(x_BSD)
        cross = Mask("cross", keys_BS)
        return Memory(tuple(layer.cross_attention.read(x_BSD, cross) for layer in self.decoder), keys_BS)

    def start(self, memory: Memory) -> State:
        return State((None,) * len(self.decoder), 0)

    def advance(self, tokens_RT: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        x_RTD, state = self._write(tokens_RT, state, memory)
        return self.output(x_RTD), state

    def states(self, src_BS: Tensor, tgt_BT: Tensor) -> Tensor:
        """Teacher forcing as far as the last projection: (B, T, D)."""
        memory = self.encode(src_BS)
        return self._write(tgt_BT, self.start(memory), memory)[0]

    def _write(self, tokens_RT: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        positions = self.target.positions
        # Padding stands on the right, so no real query reaches it: causality is mask enough.
        mask, rotate = Mask("causal", slopes=positions.slopes()), partial(positions.rotate, start=state.length)
        cross = Mask("cross", memory.keys_BS)
        x_RTD = self.target(tokens_RT, start=state.length)
        layers = []
        for layer, past, source in zip(self.decoder, state.layers, memory.layers, strict=True):
            x_RTD, written = layer(x_RTD, past, mask, source, cross, rotate)
            layers.append(written)
        return self.decoder_norm(x_RTD), State(tuple(layers), state.length + tokens_RT.shape[1])


def stack(count: int, layer: Callable[[], nn.Module]) -> Any:
    """A ModuleList, which the type checker takes for a list of anything."""
    return nn.ModuleList(layer() for _ in range(count))
