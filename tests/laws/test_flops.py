"""The formula counts what torch counts while it trains, but for what a causal mask makes needless.

Shapes: B sentences, S source positions, T target positions.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dragoman.training.flops import training_flops
from models_for_tests import transformer

B, S, T = 2, 17, 11
SIZE = {
    "dim": 32,
    "num_heads": 4,
    "num_kv_heads": 4,
    "feed_forward_dim": 48,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "feed_forward": "relu",
    "target_vocab_size": 40,
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"num_kv_heads": 1},
    {"feed_forward": "swiglu"},
    {"feed_forward": "none"},
    {"encoder_layers": 1, "decoder_layers": 4},
    {"target_vocab_size": 400},
    {"feed_forward_dim": 200, "dim": 64},
]


def counted(size: dict[str, Any]) -> int:
    """By torch, in forward and backward; `ScaledDot`, whose products it sees."""
    model = transformer(attention="dot", **size)
    src_BS, tgt_BT = torch.randint(4, 20, (B, S)), torch.randint(4, 20, (B, T))
    with FlopCounterMode(display=False) as counter:
        model(src_BS, tgt_BT).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_formula_counts_what_torch_counts(changes):
    size = SIZE | changes
    formula = training_flops(size, np.full((B, 2), (S, T)))
    masked = 12 * size["dim"] * size["decoder_layers"] * B * T * T / 2
    assert formula + masked == pytest.approx(counted(size), rel=1e-9)
    assert masked < 0.03 * formula


def test_every_number_of_the_configuration_matters():
    plain = training_flops(SIZE, np.full((B, 2), (S, T)))
    others = [training_flops(SIZE | changes, np.full((B, 2), (S, T))) for changes in CHANGES[1:]]
    assert len({plain, *others}) == len(CHANGES)


def test_pairs_are_summed_each_with_its_own_lengths():
    lengths_N2 = np.array([(3, 9), (20, 1), (5, 5)])
    apart = [training_flops(SIZE, pair[None]) for pair in lengths_N2]
    assert training_flops(SIZE, lengths_N2) == pytest.approx(sum(apart), rel=1e-12)
    assert training_flops(SIZE, lengths_N2.mean(0, keepdims=True)) * 3 < 0.99999 * sum(apart)
