"""Dropout: from random bytes it keeps what torch's keeps, and it acts wherever a key says that it does."""

import pytest
import torch

from dragoman.ids import BOS
from dragoman.models.dropout import Dropout, random_bytes
from models_for_tests import encoder_decoder, rnnsearch, sources, transformer

SITES = {  # key → the parts of a Transformer that it makes drop, with a layer on either side
    "dropout": [
        *("source", "target", "encoder.0.around_self", "encoder.0.around_feed_forward"),
        *("decoder.0.around_self", "decoder.0.around_cross", "decoder.0.around_feed_forward"),
    ],
    "feed_forward_dropout": ["encoder.0.feed_forward", "decoder.0.feed_forward"],
    "attention_dropout": [
        *("encoder.0.self_attention.attention", "decoder.0.self_attention.attention"),
        "decoder.0.cross_attention.attention",
    ],
}
TARGETS = torch.tensor([[BOS, 5, 6, 7, 8]] * 4)


@pytest.mark.parametrize(("asked", "realised"), [(0.3, 77 / 256), (0.1, 26 / 256), (0.5, 0.5), (0.999, 255 / 256)])
def test_rate_scale_and_gradient(asked, realised):
    torch.manual_seed(0)
    dropout = Dropout(asked).train()
    x = torch.ones(1000, 1003, requires_grad=True)  # not a multiple of eight
    y = dropout(x)
    assert dropout.realised == realised
    assert y.unique().tolist() == [0.0, pytest.approx(1 / (1 - realised))]
    deviation = (realised * (1 - realised) / x.numel()) ** 0.5
    assert abs((y == 0).float().mean().item() - realised) < 5 * deviation
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 2**-24), (torch.bfloat16, 2**-8)])
def test_the_expectation_stays_to_the_rounding_of_the_scale(dtype, rounding):
    off = []
    for asked in (0.05, 0.1, 0.2, 0.3, 0.5, 0.9):
        dropout = Dropout(asked).train()
        scale = dropout(torch.ones(10_000, dtype=dtype)).max().item()
        off.append(abs(scale * (1 - dropout.realised) - 1))
    assert rounding / 4 < max(off) <= rounding


def test_bytes_are_uniform_and_independent():
    torch.manual_seed(0)
    drawn = random_bytes(torch.Size((2_000_003,)))
    counts = torch.bincount(drawn.long(), minlength=256).double()
    expected = drawn.numel() / 256
    chi_squared = ((counts - expected) ** 2 / expected).sum().item()
    assert 255 - 5 * 510**0.5 < chi_squared < 255 + 5 * 510**0.5
    x = drawn.double() - drawn.double().mean()
    for lag in (1, 2, 8, 64):
        correlation = (x[:-lag] * x[lag:]).mean() / x.var()
        assert abs(correlation.item()) < 5 / drawn.numel() ** 0.5


def test_nothing_is_dropped_in_eval_or_at_zero():
    x = torch.randn(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("key", SITES)
@pytest.mark.parametrize(("norm", "feed_forward"), [("pre", "relu"), ("post", "swiglu")])
@torch.no_grad()
def test_each_key_acts_at_each_of_its_sites_and_nowhere_else(key, norm, feed_forward):
    settings = dict.fromkeys(SITES, 0.0) | {key: 0.5, "norm": norm, "feed_forward": feed_forward}
    for acting in (None, *SITES[key]):
        model = transformer(encoder_layers=1, decoder_layers=1, **settings)
        for site in SITES[key]:
            if site != acting:
                silence(model.get_submodule(site))
        expected = model(sources(4), TARGETS)
        assert torch.allclose(model.train()(sources(4), TARGETS), expected, atol=1e-4) == (acting is None), acting


@pytest.mark.parametrize("make_model", [rnnsearch, encoder_decoder])
@torch.no_grad()
def test_recurrent_models_drop_of_the_words_they_read_of_those_they_write_and_in_the_readout(make_model):
    for silent, acts in ((["", "readout"], (False, False)), (["readout"], (True, True)), ([""], (False, True))):
        model, src_BS = make_model(), sources(4)
        memory = model.encode(src_BS)
        logits = model.advance(TARGETS, memory.start, memory)[0]
        for site in silent:
            silence(model.get_submodule(site))
        model.train()
        read = model.encode(src_BS)
        written = model.advance(TARGETS, memory.start, memory)[0]
        assert (not torch.equal(read.start[0], memory.start[0]), not torch.equal(written, logits)) == acts


def silence(part: torch.nn.Module) -> None:
    """A layer of dropout, or an attention's number, of 0."""
    part.dropout = type(part.dropout)(0.0)
