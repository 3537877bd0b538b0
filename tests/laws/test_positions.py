"""Positions: the formulas of the papers, order, and where they end."""

import cmath
import itertools
import math

import pytest
import torch

from dragoman.attention import Mask
from dragoman.ids import EOS
from dragoman.models.positions import Alibi, Rotary, Sinusoidal
from models_for_tests import transformer


def test_sinusoids_are_those_of_the_paper():
    table = Sinusoidal(dim=6, num_heads=1, max_length=50).add(torch.zeros(1, 40, 6), start=3)[0]
    for position, i in itertools.product(range(3, 43), range(3)):
        angle = position / 10000 ** (2 * i / 6)
        assert table[position - 3, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert table[position - 3, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_rotated_products_depend_on_the_distance_alone():
    """Su et al. 2021, equation 11: qᵀ R(n - m) k, here written out for one pair of numbers, as complex ones."""
    rotary = Rotary(dim=8, num_heads=2, max_length=50).double()
    q, k = torch.randn(2, 1, 1, 1, 4, dtype=torch.float64)
    for m, n in itertools.product((0, 1, 7, 30), repeat=2):
        expected = 0.0
        for i in range(2):
            a, b = (complex(*x[0, 0, 0, i::2].tolist()) for x in (q, k))
            expected += (a.conjugate() * b * cmath.exp(1j * (n - m) / 10000 ** (2 * i / 4))).real
        got = (rotary.rotate(q, m) * rotary.rotate(k, n)).sum().item()
        assert got == pytest.approx(expected, rel=1e-5, abs=1e-5)  # the table is made in fp32


def test_alibi_takes_off_what_the_paper_says():
    assert Alibi(dim=8, num_heads=8, max_length=1).slopes() == tuple(1 / 2**n for n in range(1, 9))
    bias = Mask("causal", slopes=(0.5, 0.25)).bias(2, 4, torch.device("cpu"))
    assert bias[0, 0].tolist() == [[-1.0, -0.5, 0.0, -0.5], [-1.5, -1.0, -0.5, 0.0]]
    assert torch.equal(bias[0, 1], bias[0, 0] / 2)


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learned", "rotary", "alibi"])
@torch.no_grad()
def test_a_sentence_may_be_as_long_as_the_model_reaches_and_no_longer(positions):
    model = transformer(positions=positions, max_length=6)
    src = tgt = torch.full((2, 7), 5)
    memory = model.encode(src[:, :6])
    logits, state = model.advance(tgt[:, :6], model.start(memory), memory)
    assert logits.shape == (2, 6, 23)
    refused = pytest.raises(ValueError, match=r"A sentence of 7 tokens is longer than the model's `max_length` \(6\)\.")
    with refused:
        model.encode(src)
    with refused:
        model.advance(tgt, model.start(memory), memory)
    with refused:  # a single step exactly past the end
        model.advance(tgt[:, 6:], state, memory)


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learned", "rotary", "alibi"])
def test_only_positions_tell_an_encoder_the_order(positions):
    model = transformer(positions=positions).double()
    src = torch.tensor([[5, 6, 7, 8, EOS]])
    order = torch.tensor([3, 1, 0, 2, 4])
    keys = [model.encode(one).layers[0].k_BHSK for one in (src, src[:, order])]
    assert torch.allclose(keys[0][:, :, order], keys[1]) == (positions == "none")
