"""Attention: the definition, its fast forms, its masks."""

import itertools

import pytest
import torch
from torch import nn

from dragoman.attention import KV, Fused, Mask, MultiHeadAttention, ScaledDot, record
from dragoman.attention.fused import one_kernel, two_products
from dragoman.attention.multihead import fold, unfold

CASES = list(
    itertools.product(
        ["self", "causal", "cross"],  # kind
        [(1, 1), (1, 7), (3, 7), (7, 7), (9, 5)],  # queries, keys
        ["none", "some", "all padded"],  # padding
    )
)


def make(queries: int, keys: int, padding: str, seed: int = 0, requires_grad: bool = True):
    generator = torch.Generator().manual_seed(seed)
    B, H, K = 3, 2, 8
    q, k, v = (
        torch.randn(B, H, n, K, dtype=torch.float64, generator=generator).requires_grad_(requires_grad)
        for n in (queries, keys, keys)
    )
    keys_BS = None
    if padding != "none":
        keys_BS = torch.ones(B, keys, dtype=torch.bool)
        keys_BS[1, keys // 2 + 1 :] = False
        if padding == "all padded":
            keys_BS[2] = False
    return q, k, v, keys_BS


@pytest.mark.parametrize(("kind", "lengths", "padding"), CASES)
def test_weights_sum_to_one_over_what_may_be_read_and_only_there(kind, lengths, padding):
    q, k, _v, keys_BS = make(*lengths, padding)
    mask = Mask(kind, keys_BS)
    weights = ScaledDot(dropout=0.0, scale=True).weights(q, k, mask)
    T, S = lengths
    for b, h, t, s in itertools.product(range(3), range(2), range(T), range(S)):
        readable = (kind != "causal" or s <= t + S - T) and (keys_BS is None or bool(keys_BS[b, s]))
        assert (weights[b, h, t, s] > 0) == readable
    sums = weights.sum(-1)
    assert torch.all(torch.isclose(sums, torch.ones_like(sums)) | (sums == 0))


@pytest.mark.parametrize(("kind", "lengths", "padding"), CASES)
@pytest.mark.parametrize("form", ["chosen", "one kernel", "two products"])
def test_fast_forms_are_the_definition_values_and_gradients(kind, lengths, padding, form):
    results = []
    for forward in (ScaledDot(dropout=0.0, scale=True), fast_form(form)):
        q, k, v, keys_BS = make(*lengths, padding)
        out = forward(q, KV(k, v), Mask(kind, keys_BS))
        out.pow(2).sum().backward()
        results.append((out.detach(), q.grad, k.grad, v.grad))
    for ours, definition in zip(results[1], results[0], strict=True):
        assert torch.isfinite(definition).all()
        torch.testing.assert_close(ours, definition, rtol=1e-9, atol=1e-9)


def fast_form(form):
    return {
        "chosen": Fused(dropout=0.0),
        "one kernel": lambda q, past, mask: one_kernel(q, past, mask, dropout=0.0),
        "two products": two_products,
    }[form]


def test_without_scale_the_logits_are_larger_by_the_root_of_the_width():
    q, k, _v, _ = make(3, 7, "none")
    scaled = ScaledDot(dropout=0.0, scale=True).weights(q, k, Mask("self"))
    raw = ScaledDot(dropout=0.0, scale=False).weights(q / 8**0.5, k, Mask("self"))
    torch.testing.assert_close(scaled, raw)


@pytest.mark.parametrize("attention", [Fused(dropout=0.5), ScaledDot(dropout=0.5, scale=True)])
def test_attention_drops_weights_in_training_and_never_in_eval(attention):
    q, k, v, _ = make(7, 7, "none", requires_grad=False)
    past = KV(k, v)
    attention.eval()
    assert torch.equal(attention(q, past, Mask("causal")), attention(q, past, Mask("causal")))
    attention.train()
    assert not torch.equal(attention(q, past, Mask("causal")), attention(q, past, Mask("causal")))


@pytest.mark.parametrize("kind", ["self", "causal"])
def test_multi_head_attention_is_that_of_torch_with_copied_weights(kind):
    torch.manual_seed(0)
    ours = MultiHeadAttention(dim=16, num_heads=4, attention=Fused(dropout=0.0)).double()
    theirs = nn.MultiheadAttention(16, 4, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
        theirs.in_proj_bias.copy_(torch.randn(48))
        ours.query.bias.copy_(theirs.in_proj_bias[:16])
        ours.key_value.bias.copy_(theirs.in_proj_bias[16:])
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(torch.randn(16))
        ours.output.bias.copy_(theirs.out_proj.bias)
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    keys_BS = torch.arange(5)[None] < torch.tensor([5, 3, 1])[:, None]
    causal = torch.ones(5, 5, dtype=torch.bool).triu(1) if kind == "causal" else None
    expected, expected_weights = theirs(x, x, x, key_padding_mask=~keys_BS, attn_mask=causal)
    with record(ours) as seen:
        got = ours(x, ours.read(x), Mask(kind, keys_BS))
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(seen["attention"].weights_BHTS.mean(1), expected_weights)


def test_folded_rows_read_what_repeated_memory_would_give():
    torch.manual_seed(0)
    module = MultiHeadAttention(dim=16, num_heads=4, attention=Fused(dropout=0.0)).double().eval()
    memory, x = torch.randn(3, 5, 16).double(), torch.randn(6, 2, 16).double()
    keys_BS = torch.arange(5)[None] < torch.tensor([5, 3, 1])[:, None]
    folded = module(x, module.read(memory), Mask("cross", keys_BS))
    repeated = module(x, module.read(memory.repeat_interleave(2, 0)), Mask("cross", keys_BS.repeat_interleave(2, 0)))
    torch.testing.assert_close(folded, repeated)


def test_fold_and_unfold_are_inverse_and_keep_a_sentences_rows_together():
    q_RHTK = torch.arange(6 * 2 * 3 * 4).view(6, 2, 3, 4)
    folded = fold(q_RHTK, 2)
    assert folded.shape == (2, 2, 9, 4)
    assert torch.equal(folded[1, 0, :3], q_RHTK[3, 0])
    assert torch.equal(unfold(folded, 6), q_RHTK)


def test_dim_must_be_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match=r"`dim` \(10\) must be a multiple of `num_heads` \(4\)\."):
        MultiHeadAttention(dim=10, num_heads=4, attention=Fused(dropout=0.0))
