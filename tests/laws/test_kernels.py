"""Which kernel computes an attention: named as it runs, and asked to drop no weights in eval mode."""

import torch

from dragoman.attention import KV, Fused, Mask, ScaledDot, kernels
from models_for_tests import ATTENTIONS

SIZES = {"num_heads": 2, "head_dim": 8}
EVERY = {name: made(dropout=0.0, **SIZES) for name, made in ATTENTIONS.items()}


def make(length):
    """Queries, keys and values."""
    torch.manual_seed(0)
    return torch.randn(3, 3, 2, length, 8, dtype=torch.float64).unbind()


def attend(attention, q, k, v, mask):
    return attention(q, attention.remember(None, k, v, mask), mask)


def test_a_fused_attention_names_the_kernel_that_it_runs():
    q, k, v = make(7)
    mask, long = Mask("causal"), torch.randn(1, 2, 1024, 8)
    name = lambda q, k, v: EVERY["fused"].kernel(q, KV(k, v), mask)  # noqa: E731
    assert name(q, k, v) == "flash attention"
    assert name(*(one.bfloat16() for one in (q, k, v))) == "two matrix products"
    assert name(*(long.bfloat16() for _ in range(3))) == "flash attention"
    with torch.no_grad():
        assert name(*(one.bfloat16() for one in (q, k, v))) == "flash attention"
        past = KV(k, v)
        assert Fused(dropout=0.1, **SIZES).kernel(q, past, mask) == "matrix products with dropout"


def test_kernels_are_told_by_what_they_read_for():
    q, k, v = make(13)
    model = torch.nn.ModuleList([EVERY["fused"], EVERY["window"], EVERY["linear"]])
    with kernels(model) as seen:
        attend(EVERY["fused"], q, k, v, Mask("self"))
        attend(EVERY["window"], q, k, v, Mask("causal"))
        attend(EVERY["window"], q[:, :, :3], k[:, :, :3], v[:, :, :3], Mask("causal"))
        attend(EVERY["linear"], q, k, v, Mask("cross"))
    assert seen == {"self": {"flash attention"}, "causal": {"blocks", "flash attention"}, "cross": {"Linear"}}
    attend(EVERY["linear"], q, k, v, Mask("self"))
    assert seen["self"] == {"flash attention"}  # outside the context nothing is noted


def test_the_kernel_of_torch_drops_weights_in_training_and_never_in_eval(monkeypatch):
    """It would drop them in eval mode too, were it asked."""
    monkeypatch.setattr(Fused, "way", lambda *_: "torch")
    attention = Fused(dropout=0.5, **SIZES)
    q, k, v = make(13)
    mask = Mask("causal")
    expected = ScaledDot(dropout=0.0, scale=True, **SIZES).weights(q, k, mask) @ v
    torch.testing.assert_close(attend(attention.eval(), q, k, v, mask), expected)
    assert not torch.allclose(attend(attention.train(), q, k, v, mask), expected)
