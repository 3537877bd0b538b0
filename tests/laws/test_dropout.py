"""Dropout from random bytes keeps what torch's dropout keeps: the expectation, the rate, the gradient."""

import pytest
import torch

from dragoman.models.dropout import Dropout, random_bytes


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
