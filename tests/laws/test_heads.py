"""Heads beside each other: projections, shared keys and values, rows of one sentence."""

from functools import partial

import pytest
import torch
from torch import nn

from dragoman.attention import Fused, Mask, MultiHeadAttention, record
from dragoman.attention.multihead import fold, unfold


def heads(num_kv_heads=4):
    """With biases that are not zero."""
    made = MultiHeadAttention(dim=16, num_heads=4, num_kv_heads=num_kv_heads, attention=partial(Fused, dropout=0.0))
    for linear in (made.query, made.key_value, made.output):
        nn.init.normal_(linear.bias)
    return made.double().eval()


@pytest.mark.parametrize("kind", ["self", "causal"])
def test_multi_head_attention_is_that_of_torch_with_copied_weights(kind):
    torch.manual_seed(0)
    ours = heads()
    theirs = nn.MultiheadAttention(16, 4, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
        theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key_value.bias)))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    keys_BS = torch.arange(5)[None] < torch.tensor([5, 3, 1])[:, None]
    causal = torch.ones(5, 5, dtype=torch.bool).triu(1) if kind == "causal" else None
    expected, expected_weights = theirs(x, x, x, key_padding_mask=~keys_BS, attn_mask=causal)
    with record(ours) as seen:
        mask = Mask(kind, keys_BS)
        got = ours(x, ours.read(x, mask), mask)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(seen["attention"].weights_BHTS.mean(1), expected_weights)


@pytest.mark.parametrize(("kv_heads", "copies"), [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1])])
@torch.no_grad()
def test_shared_keys_are_those_of_a_full_attention_whose_neighbouring_heads_are_copies(kv_heads, copies):
    torch.manual_seed(0)
    shared, full = heads(kv_heads), heads()
    full.query.load_state_dict(shared.query.state_dict())
    full.output.load_state_dict(shared.output.state_dict())
    for part in ("weight", "bias"):
        per_head = shared.key_value.get_parameter(part).view(2, kv_heads, 4, -1)  # keys and values, heads, width
        full.key_value.get_parameter(part).copy_(per_head[:, copies].reshape(full.key_value.get_parameter(part).shape))
    x, mask = torch.randn(3, 5, 16, dtype=torch.float64), Mask("causal")
    torch.testing.assert_close(shared(x, shared.read(x, mask), mask), full(x, full.read(x, mask), mask))


def test_folded_rows_read_what_repeated_memory_would_give():
    torch.manual_seed(0)
    module = heads()
    memory, x = torch.randn(3, 5, 16).double(), torch.randn(6, 2, 16).double()
    keys_BS = torch.arange(5)[None] < torch.tensor([5, 3, 1])[:, None]
    mask, twice = Mask("cross", keys_BS), Mask("cross", keys_BS.repeat_interleave(2, 0))
    folded = module(x, module.read(memory, mask), mask)
    repeated = module(x, module.read(memory.repeat_interleave(2, 0), twice), twice)
    torch.testing.assert_close(folded, repeated)


def test_fold_and_unfold_are_inverse_and_keep_a_sentences_rows_together():
    q_RHTK = torch.arange(6 * 2 * 3 * 4).view(6, 2, 3, 4)
    folded = fold(q_RHTK, 2)
    assert folded.shape == (2, 2, 9, 4)
    assert torch.equal(folded[1, 0, :3], q_RHTK[3, 0])
    assert torch.equal(unfold(folded, 6), q_RHTK)


def test_dim_must_be_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match=r"`dim` \(10\) must be a multiple of `num_heads` \(4\)\."):
        MultiHeadAttention(dim=10, num_heads=4, num_kv_heads=4, attention=partial(Fused, dropout=0.0))
