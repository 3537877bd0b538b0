"""Small random models, made so that they end sentences: one that never ended any would let search bugs pass."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from dragoman.attention import Fused, ScaledDot
from dragoman.ids import EOS
from dragoman.models import Seq2Seq, Transformer

ATTENTIONS = {"fused": Fused, "dot": partial(ScaledDot, scale=True)}


def transformer(seed: int = 0, attention: str = "fused", **changes: Any) -> Transformer:
    torch.manual_seed(seed)
    settings = {
        "source_vocab_size": 23,
        "target_vocab_size": 23,
        "dim": 16,
        "num_heads": 4,
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
        "encoder_attention": ATTENTIONS[attention],
        "decoder_attention": ATTENTIONS[attention],
        "cross_attention": ATTENTIONS[attention],
    }
    model = Transformer(**(settings | changes))
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, so that none can be forgotten unseen
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.output.weight.mul_(2)  # decided, not uniform: ties would make every search right
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
