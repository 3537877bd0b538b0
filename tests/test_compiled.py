"""What needs a compiler: flex attention."""

import shutil

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from dragoman.attention import KV, Mask
from dragoman.attention.flex import from_rules
from models_for_tests import ATTENTIONS


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("kind", ["self", "causal", "cross"])
@pytest.mark.parametrize("slopes", [None, (0.5, 0.25)])
@torch.no_grad()
def test_compiled_flex_attention_is_the_definition(kind, slopes):
    sizes = {"num_heads": 2, "head_dim": 16}
    kernel = torch.compile(flex_attention, dynamic=False)  # torch 2.13's code for any lengths needs a GPU
    dot = ATTENTIONS["dot"](dropout=0.0, **sizes)
    generator = torch.Generator().manual_seed(0)
    for queries, keys in ((17, 17), (1, 20), (30, 7)):
        if kind != "cross" and queries > keys:
            continue
        q, k, v = (torch.randn(3, 2, n, 16, generator=generator) for n in (queries, keys, keys))
        keys_BS = torch.arange(keys)[None] < torch.tensor([keys, max(1, keys // 2), 1])[:, None]
        for mask in (Mask(kind, slopes=slopes), Mask(kind, keys_BS, slopes=slopes)):
            found = from_rules(q, KV(k, v), mask, kernel)
            torch.testing.assert_close(found, dot.weights(q, k, mask) @ v, rtol=1e-4, atol=1e-5)
