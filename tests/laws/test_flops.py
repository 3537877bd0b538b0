"""The formula counts what torch counts while it trains, but for what a causal mask makes needless.

Shapes: B sentences, S source positions, T target positions.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dragoman.data.batch import collate
from dragoman.training import flops
from dragoman.training.flops import Work, product_rate, training_flops
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
    formula = training_flops(transformer(**size), np.full((B, 2), (S, T)))
    masked = 12 * size["dim"] * size["decoder_layers"] * B * T * T / 2
    assert formula + masked == pytest.approx(counted(size), rel=1e-9)
    assert masked < 0.03 * formula


def test_every_number_of_the_configuration_matters():
    plain, *others = (training_flops(transformer(**SIZE | changes), np.full((B, 2), (S, T))) for changes in CHANGES)
    assert len({plain, *others}) == len(CHANGES)


def test_pairs_are_summed_each_with_its_own_lengths():
    lengths_N2 = np.array([(3, 9), (20, 1), (5, 5)])
    apart = [training_flops(transformer(**SIZE), pair[None]) for pair in lengths_N2]
    assert training_flops(transformer(**SIZE), lengths_N2) == pytest.approx(sum(apart), rel=1e-12)
    assert training_flops(transformer(**SIZE), lengths_N2.mean(0, keepdims=True)) * 3 < 0.99999 * sum(apart)


def test_work_is_that_of_tokens_without_padding(monkeypatch):
    """Every batch's, since it was last asked for, over what plain products would have done in the same time."""
    monkeypatch.setattr(flops, "product_rate", lambda device, dtype, side: 1e6)
    model = transformer(**SIZE)
    work = Work(model, torch.device("cpu"), torch.float32)
    sources, targets = [range(4, 9), range(4, 6)], [range(4, 6), range(4, 13)]
    done = training_flops(model, np.array([(6, 3), (3, 10)]))
    for _ in range(3):
        work.add(collate(sources, targets))
    assert work.share(2.0) == pytest.approx(3 * done / 2e6, rel=1e-6)
    work.add(collate(sources, targets))
    assert work.share(4.0) == pytest.approx(done / 4e6, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_of_products_moves_no_dice(dtype):
    before = torch.get_rng_state()
    assert product_rate(torch.device("cpu"), dtype, 64) > 0
    assert torch.equal(torch.get_rng_state(), before)
