"""Small random models, made so that they end sentences: one that never ended any would let search bugs pass."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from dragoman.attention import Additive, Attention, Fixed, Fused, Linear, ScaledDot, SlidingWindow
from dragoman.data.batch import Batch, collate
from dragoman.ids import EOS
from dragoman.models import RNNEncoderDecoder, RNNsearch, Seq2Seq, Transformer
from dragoman.models.recurrent import Recurrent

ATTENTIONS = {
    "fused": Fused,
    "dot": partial(ScaledDot, scale=True),
    "unscaled": partial(ScaledDot, scale=False),
    "additive": Additive,
    "linear": Linear,
    "window": partial(SlidingWindow, window=2, global_tokens=0),  # so narrow that 9 tokens are more than it reaches
    "sparse": partial(SlidingWindow, window=2, global_tokens=1),
    "fixed": Fixed,
}
PLACES = {"encoder_attention": "self", "decoder_attention": "causal", "cross_attention": "cross"}


def transformer(seed: int = 0, attention: str = "fused", **changes: Any) -> Transformer:
    torch.manual_seed(seed)
    settings = {
        "source_vocab_size": 23,
        "target_vocab_size": 23,
        "dim": 16,
        "num_heads": 4,
        "num_kv_heads": 4,
        "feed_forward_dim": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "max_length": 64,
        "norm": "pre",
        "feed_forward": "relu",
        "positions": "sinusoidal",
        "tied_embeddings": "none",
        "dropout": 0.1,
        "feed_forward_dropout": 0.1,
        "attention_dropout": 0.0,
        **{place: ATTENTIONS[attention if fits(attention, kind) else "fused"] for place, kind in PLACES.items()},
    }
    model = Transformer(**(settings | changes))
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, so that none can be forgotten unseen
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.output.weight.mul_(2)  # decided, not uniform: ties would make every search right
    return model.eval()


def fits(attention: str, kind: str) -> bool:
    """Whether the attention has a meaning for this kind of reading."""
    return kind in class_of(attention).kinds


def goes_with(attention: str, positions: str) -> bool:
    """Whether the attention can stand beside these positions."""
    return positions in {"none", *class_of(attention).positions}


def class_of(attention: str) -> type[Attention]:
    chosen = ATTENTIONS[attention]
    return chosen.func if isinstance(chosen, partial) else chosen


def rnnsearch(seed: int = 0, attention: str = "additive") -> RNNsearch:
    torch.manual_seed(seed)
    sizes = {"source_vocab_size": 23, "target_vocab_size": 23, "embedding_dim": 6, "dim": 8, "readout_dim": 7}
    model = RNNsearch(
        **sizes,
        attention_dim=5,
        max_length=64,
        dropout=0.1,
        attention_dropout=0.0,
        cross_attention=ATTENTIONS[attention],
    )
    return shaken(model)


def encoder_decoder(seed: int = 0, cell: str = "gru") -> RNNEncoderDecoder:
    torch.manual_seed(seed)
    sizes = {"source_vocab_size": 23, "target_vocab_size": 23, "embedding_dim": 6, "dim": 8, "readout_dim": 7}
    return shaken(RNNEncoderDecoder(**sizes, max_length=64, cell=cell, dropout=0.1))


def shaken(model: Recurrent) -> Any:
    """No parameter at its first value, and logits that are decided: ties would make every search right."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.readout.output.weight.mul_(4)
    return model.eval()


class EndsSentences(Seq2Seq):
    """A model whose EOS is likelier by `bias`, and that does not repeat its last token for ever: logits are rolled."""

    def __init__(self, model: Seq2Seq, bias: float) -> None:
        super().__init__()
        self.model, self.bias = model, bias
        self.max_length, self.target_vocab_size = model.max_length, model.target_vocab_size

    def encode(self, src_BS: Tensor) -> Any:
        return self.model.encode(src_BS)

    def start(self, memory: Any) -> Any:
        return self.model.start(memory)

    def advance(self, tokens_RT: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any]:
        logits, state = self.model.advance(tokens_RT, state, memory)
        logits = logits.roll(3, -1)
        logits[..., EOS] += self.bias
        return logits, state


def sources(count: int, *, vocab_size: int = 23, longest: int = 9, seed: int = 1) -> Tensor:
    """Random sentences of several lengths, each ended and padded."""
    from dragoman.data.batch import pad_sources

    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return pad_sources([torch.randint(4, vocab_size, (n,), generator=generator).tolist() for n in lengths])


def batch_of(model: Any) -> Batch:
    """Six pairs, of which the sources grow and the targets shrink."""
    ids = torch.randint(4, model.target_vocab_size, (6, 9)).tolist()
    return collate([row[: 3 + n] for n, row in enumerate(ids)], [row[: 9 - n] for n, row in enumerate(ids)])
