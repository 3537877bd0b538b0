"""The loss: block by block = torch's = the formula in numpy, in value and in gradient; padding counts nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.ids import PAD
from dragoman.training import loss as subject
from dragoman.training.loss import BlockwiseLoss, plain_loss, smoothed_loss

SMOOTHINGS = [0.0, 0.1, 0.37, 1.0]
SHAPES = [(1, 5), (7, 5), (64, 11), (33, 700)]  # N, V
BLOCKS = [1, 60, 701, 1 << 19]  # elements: from a row at a time to all at once
# Of gradient entries, which lie in [-1, 1]: exp(x - logsumexp) in fp32 inherits the rounding of a logsumexp near 10,
# whose last bit is worth 1e-6; bf16 keeps 8 bits, and rounds once.
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 2**-8}


def case(N: int, V: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and labels, about a third of them padding, but for the first."""
    generator = torch.Generator().manual_seed(seed)
    logits = (4 * torch.randn(N, V, generator=generator)).to(dtype)
    labels = torch.randint(PAD + 1, V, (N,), generator=generator)
    labels[torch.rand(N, generator=generator) < 0.33] = PAD
    labels[0] = V - 1
    return logits, labels


def value_and_gradient(function, logits: Tensor, *args, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = function(leaf, *args)
    (scale * value).backward()
    return value.detach(), leaf.grad


def formula(logits: Tensor, labels: Tensor, smoothing: float) -> tuple[float, np.ndarray]:
    """Szegedy et al. 2016, section 7, in doubles: cross-entropy with (1-ε)·one-hot + ε/V, and its gradient p - q."""
    total, gradient = 0.0, np.zeros(logits.shape)
    V = logits.shape[1]
    for n, (row, label) in enumerate(zip(logits.double().numpy(), labels.tolist(), strict=True)):
        if label == PAD:
            continue
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        q = np.full(V, smoothing / V)
        q[label] += 1 - smoothing
        total -= (q * np.log(p)).sum()
        gradient[n] = p - q
    return total, gradient


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_blockwise_is_plain_is_the_formula(monkeypatch, shape, smoothing, dtype):
    logits, labels = case(*shape, dtype)
    value, gradient = formula(logits, labels, smoothing)
    plain = value_and_gradient(plain_loss, logits, labels, smoothing)
    assert plain[0].item() == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(plain[1].double(), gradient, rtol=0, atol=TOLERANCES[dtype])
    block_counts = set()
    for block in BLOCKS:
        monkeypatch.setattr(subject, "BLOCK", block)
        ours = value_and_gradient(BlockwiseLoss.apply, logits, labels, smoothing)
        assert ours[0].dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
        assert ours[1].dtype == dtype
        assert ours[0].item() == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(ours[1].double(), gradient, rtol=0, atol=TOLERANCES[dtype])
        block_counts.add(-(-shape[0] // max(1, block // shape[1])))
    assert 1 in block_counts
    assert shape[0] in block_counts  # a row at a time


def test_gradient_is_the_slope_of_the_value():
    """Central differences of torch's own loss in doubles: no derivative formula on either side."""
    logits, labels = case(6, 7, torch.float64)
    _, gradient = value_and_gradient(BlockwiseLoss.apply, logits, labels, 0.1)
    step, moved = 1e-5, 0
    for n, v in np.ndindex(*logits.shape):
        nudge = torch.zeros_like(logits)
        nudge[n, v] = step
        above, below = (
            F.cross_entropy(logits + sign * nudge, labels, ignore_index=PAD, label_smoothing=0.1, reduction="sum")
            for sign in (1, -1)
        )
        slope = ((above - below) / (2 * step)).item()
        assert gradient[n, v].item() == pytest.approx(slope, abs=1e-6)
        moved += abs(slope) > 1e-4
    assert moved >= 12


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("function", [BlockwiseLoss.apply, plain_loss])
def test_padding_alone_costs_nothing_and_moves_nothing(function, dtype):
    logits, _ = case(9, 11, dtype)
    value, gradient = value_and_gradient(function, logits, torch.full((9,), PAD), 0.1)
    assert value.item() == 0
    assert torch.equal(gradient, torch.zeros_like(logits))


def test_padding_rows_neither_count_nor_move():
    logits, labels = case(64, 11, torch.float32)
    value, gradient = value_and_gradient(BlockwiseLoss.apply, logits, labels, 0.1)
    padding = labels == PAD
    assert 10 < padding.sum() < 54
    assert torch.equal(gradient[padding], torch.zeros_like(gradient[padding]))
    alone, _ = value_and_gradient(BlockwiseLoss.apply, logits[~padding], labels[~padding], 0.1)
    assert value.item() == pytest.approx(alone.item(), rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0, 1024.0])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_scaled_loss_has_the_scaled_gradient(dtype, scale):
    """As accumulation and loss scaling need it; 3.0 rounds a second time in bf16."""
    logits, labels = case(33, 70, dtype)
    _, plain = value_and_gradient(plain_loss, logits, labels, 0.1, scale=scale)
    _, ours = value_and_gradient(BlockwiseLoss.apply, logits, labels, 0.1, scale=scale)
    torch.testing.assert_close(ours, plain, rtol=0, atol=2 * scale * TOLERANCES[dtype])
    assert (plain.abs().max() > 0) == (scale > 0)


def test_the_gradient_reaches_what_made_the_logits():
    torch.manual_seed(0)
    x, labels = torch.randn(20, 6), torch.randint(PAD, 9, (20,))
    gradients = []
    for function in (BlockwiseLoss.apply, plain_loss):
        weight = torch.linspace(-1, 1, 54).view(9, 6).requires_grad_()
        function(x @ weight.T, labels, 0.1).backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)
    assert gradients[0].abs().max() > 1


def test_blocks_serve_a_gradient_and_nothing_else(monkeypatch):
    calls = []
    forward = BlockwiseLoss.forward
    monkeypatch.setattr(BlockwiseLoss, "forward", staticmethod(lambda *args: calls.append(1) or forward(*args)))
    logits, labels = case(9, 11, torch.float32)
    without = smoothed_loss(logits, labels, 0.1)
    with torch.no_grad():
        smoothed_loss(logits.clone().requires_grad_(), labels, 0.1)
    assert not calls
    with_gradient = smoothed_loss(logits.clone().requires_grad_(), labels, 0.1)
    assert len(calls) == 1
    assert with_gradient.item() == pytest.approx(without.item(), rel=1e-6)


def test_large_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0], [-3e4, 3e4, 3e4]])
    value, gradient = value_and_gradient(BlockwiseLoss.apply, logits, torch.tensor([1, 2]), 0.1)
    expected, slope = plain_loss(logits, torch.tensor([1, 2]), 0.1), gradient.abs().max()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.isfinite(gradient).all()
    assert 0.5 < slope <= 1
