"""How many floating-point operations training a Transformer takes: what a speed is to be compared with.

Shapes: N pairs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

PRODUCTS = {"none": 0, "relu": 2, "gelu": 2, "swiglu": 3}  # matrices of a feed-forward network


def training_flops(model: Mapping[str, Any], lengths_N2: np.ndarray) -> float:
    """Of matrix products, forward and backward, for every token of the pairs once; `model` as in a configuration.

    6 · (weights · tokens that meet them) + 12 · width · (pairs of a query and a key), as Kaplan et al. 2020, section
    2.1, count, and Chowdhery et al. 2022, appendix B; cross-attention's keys and values are of the source, half the
    pairs of a causal attention are masked, and neither padding nor what is computed twice counts. `lengths_N2` are of
    source and target, EOS included.
    """
    d, keys = model["dim"], 2 * model["dim"] * model["num_kv_heads"] // model["num_heads"]  # widths
    inner = PRODUCTS[model["feed_forward"]] * d * model["feed_forward_dim"]
    attention, cross_query = 2 * d * d + d * keys, 2 * d * d
    encoder, decoder = model["encoder_layers"], model["decoder_layers"]
    source_weights = encoder * (attention + inner) + decoder * d * keys
    target_weights = decoder * (attention + cross_query + inner) + d * model["target_vocab_size"]
    S, T = lengths_N2.astype(np.float64).T
    weights = source_weights * S.sum() + target_weights * T.sum()
    pairs = encoder * (S * S).sum() + decoder * (T * T / 2 + T * S).sum()
    return float(6 * weights + 12 * d * pairs)
