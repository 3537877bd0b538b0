"""Attention: the definition, its fast forms, its masks."""

import itertools

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from dragoman.attention import KV, Mask, SlidingWindow, additive, linear
from dragoman.attention.flex import from_rules
from dragoman.attention.fused import one_kernel, two_products
from models_for_tests import ATTENTIONS, fits

CASES = list(
    itertools.product(
        ["self", "causal", "cross"],  # kind
        [(1, 1), (1, 7), (3, 7), (7, 7), (13, 13), (9, 5)],  # queries, keys
        ["none", "some", "all padded"],  # padding
        [None, (0.5, 0.25)],  # slopes
    )
)
GLOBAL = {"window": 0, "sparse": 1, "three global": 3, "more global than tokens": 14}  # all with a window of 2
EVERY = {name: made(dropout=0.0, num_heads=2, head_dim=8).double().eval() for name, made in ATTENTIONS.items()}
EVERY |= {
    name: SlidingWindow(dropout=0.0, num_heads=2, head_dim=8, window=2, global_tokens=GLOBAL[name]).double().eval()
    for name in ("three global", "more global than tokens")
}


def possible(name, kind, slopes):
    """Whether the mechanism means anything there."""
    attention = EVERY[name]
    return kind in attention.kinds and (slopes is None or (kind != "cross" and "alibi" in attention.positions))


def cases_of(name):
    for kind, lengths, padding, slopes in CASES:
        # queries before the first key only make sense in cross-attention
        if possible(name, kind, slopes) and (kind == "cross" or lengths[0] <= lengths[1]):
            yield kind, lengths, padding, slopes


@pytest.fixture
def several_blocks(monkeypatch):
    """Of sentences as short as these."""
    monkeypatch.setattr(linear, "BLOCK", 4)
    monkeypatch.setattr(additive, "TILE", 300)  # of 13 queries one at a time, of 7 two, of single ones two sentences


ALL = [(name, *case) for name in EVERY for case in cases_of(name)]


def attend(attention, q, k, v, mask):
    return attention(q, attention.remember(None, k, v, mask), mask)


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


def readable(name, kind, T, S, keys_BS, b, t, s):
    """The law in words of its own: what a query may read."""
    here = t + S - T
    if (keys_BS is not None and not keys_BS[b, s]) or (kind == "causal" and s > here):
        return False
    if name == "fixed":
        return s == S - 1 if keys_BS is None else s == int(keys_BS[b].nonzero().max())
    return name not in GLOBAL or abs(s - here) < 2 or min(s, here) < GLOBAL[name]


@pytest.mark.parametrize(("name", "kind", "lengths", "padding", "slopes"), ALL)
def test_weights_sum_to_one_over_what_may_be_read_and_only_there(name, kind, lengths, padding, slopes):
    q, k, _v, keys_BS = make(*lengths, padding)
    weights = EVERY[name].weights(q, k, Mask(kind, keys_BS, slopes=slopes))
    T, S = lengths
    for b, h, t, s in itertools.product(range(3), range(2), range(T), range(S)):
        assert (weights[b, h, t, s] > 0) == readable(name, kind, T, S, keys_BS, b, t, s)
    sums = weights.sum(-1)
    assert torch.all(torch.isclose(sums, torch.ones_like(sums)) | (sums == 0))


@pytest.mark.usefixtures("several_blocks")
@pytest.mark.parametrize(("name", "kind", "lengths", "padding", "slopes"), ALL)
def test_the_fast_form_is_the_definition_values_and_gradients(name, kind, lengths, padding, slopes):
    attention = EVERY[name]
    mask_of = lambda keys_BS: Mask(kind, keys_BS, slopes=slopes)  # noqa: E731
    agree(
        lambda q, k, v, keys_BS: attend(attention, q, k, v, mask_of(keys_BS)),
        lambda q, k, v, keys_BS: attention.weights(q, k, mask_of(keys_BS)) @ v,
        make(*lengths, padding),
        tuple(attention.parameters()),
    )


@pytest.mark.parametrize(("kind", "lengths", "padding", "slopes"), list(cases_of("fused")))
@pytest.mark.parametrize("kernel", ["one kernel", "two products", "flex"])
def test_every_kernel_of_scaled_dot_attention_is_the_definition(kind, lengths, padding, slopes, kernel):
    mask_of = lambda keys_BS: Mask(kind, keys_BS, slopes=slopes)  # noqa: E731
    fast = {
        "one kernel": lambda q, past, mask: one_kernel(q, past, mask, dropout=0.0),
        "two products": two_products,
        "flex": lambda q, past, mask: from_rules(q, past, mask, flex_attention),  # what the compiler is given
    }[kernel]
    agree(
        lambda q, k, v, keys_BS: fast(q, KV(k, v), mask_of(keys_BS)),
        lambda q, k, v, keys_BS: EVERY["dot"].weights(q, k, mask_of(keys_BS)) @ v,
        make(*lengths, padding, requires_grad=kernel != "flex"),
    )


def agree(fast, definition, given, parameters=()):
    """Values and, where they are asked for, the gradients of everything."""
    results = []
    for form in (fast, definition):
        out = form(*given)
        wanted = [x for x in (*given[:3], *parameters) if x.requires_grad and out.requires_grad]
        gradients = torch.autograd.grad(out.pow(2).sum(), wanted, allow_unused=True) if wanted else []
        results.append(
            [out, *(torch.zeros_like(x) if g is None else g for x, g in zip(wanted, gradients, strict=True))]
        )
    for ours, expected in zip(*results, strict=True):
        assert torch.isfinite(expected).all()
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_row_that_may_read_nothing_gets_nothing_in_half_precision(dtype):
    q, k, v, keys_BS = make(7, 7, "all padded", requires_grad=False)
    given = [(20 * x).to(dtype).requires_grad_() for x in (q.abs(), -k.abs(), v)]  # scores far below zero
    out = two_products(given[0], KV(*given[1:]), Mask("self", keys_BS))
    assert not out[2].any()
    out.sum().backward()
    assert all(torch.isfinite(x).all() for x in (out, *(one.grad for one in given)))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_gradients_are_those_of_finite_differences(name):
    kind = next(kind for kind in ("causal", "cross") if fits(name, kind))
    q, k, v, keys_BS = make(9, 9, "some")
    chosen = [x[:2, :, :, :2].detach().requires_grad_() for x in (q, k, v)]
    attention = ATTENTIONS[name](dropout=0.0, num_heads=2, head_dim=2).double()
    mask = Mask(kind, keys_BS[:2] if kind == "cross" else None)
    assert torch.autograd.gradcheck(lambda *qkv: attend(attention, *qkv, mask), chosen)


@pytest.mark.usefixtures("several_blocks")
@pytest.mark.parametrize("name", [name for name in EVERY if "causal" in EVERY[name].kinds])
@pytest.mark.parametrize("bites", [[1] * 13, [4, 1, 8], [12, 1]])
def test_what_is_remembered_in_bites_gives_what_is_read_at_once(name, bites):
    attention, mask = EVERY[name], Mask("causal")
    q, k, v, _ = make(13, 13, "none", requires_grad=False)
    past, pieces = None, []
    for q_bite, k_bite, v_bite in zip(*(x.split(bites, dim=2) for x in (q, k, v)), strict=True):
        past = attention.remember(past, k_bite, v_bite, mask)
        pieces.append(attention(q_bite, past, mask))
    torch.testing.assert_close(torch.cat(pieces, 2), attend(attention, q, k, v, mask))
    kept = sum(part.numel() for part in past if part is not None)
    read = k.numel() + v.numel()
    assert (kept < read) == (name in ("linear", "window", "sparse", "three global"))


def test_a_narrow_window_never_makes_a_tensor_of_all_pairs():
    q, k, v, _ = make(512, 512, "none", requires_grad=False)
    for name, few in (("window", True), ("sparse", True), ("linear", True), ("dot", False)):
        with Largest() as largest:
            attend(EVERY[name], q, k, v, Mask("causal"))
        assert (largest.elements < 512 * 512) == few, name


def test_additive_attention_never_makes_a_tensor_of_all_pairs_and_widths():
    q, k, v, _ = make(300, 400, "none")
    for forward, few in (
        (lambda: attend(EVERY["additive"], q, k, v, Mask("self")), True),
        (lambda: EVERY["additive"].weights(q, k, Mask("self")) @ v, False),
    ):
        with Largest() as largest:
            forward().sum().backward()
        assert (largest.elements < q.shape[0] * q.shape[1] * 300 * 400 * q.shape[3]) == few


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation made."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        parts = out if isinstance(out, (tuple, list)) else (out,)
        self.elements = max([self.elements, *(part.numel() for part in parts if isinstance(part, torch.Tensor))])
        return out


def test_additive_scores_are_finite_however_large_the_projections():
    attention, big = EVERY["additive"], torch.full((1, 2, 1, 8), 1e4, dtype=torch.float64)
    for q, k in ((big, big), (big, -big), (-big, -big)):
        assert torch.isfinite(attend(attention, q, k, big, Mask("self"))).all()
    small = ATTENTIONS["additive"](dropout=0.0, num_heads=2, head_dim=8)
    q, k, v = (torch.full((1, 2, 1, 8), 19.0, requires_grad=True) for _ in range(3))
    attend(small, q, k, v, Mask("self")).sum().backward()
    assert torch.isfinite(q.grad).all()


def test_without_scale_the_logits_are_larger_by_the_root_of_the_width():
    q, k, _v, _ = make(3, 7, "none")
    scaled = EVERY["dot"].weights(q, k, Mask("self"))
    raw = EVERY["unscaled"].weights(q / 8**0.5, k, Mask("self"))
    torch.testing.assert_close(scaled, raw)


@pytest.mark.parametrize("name", ["fused", "dot", "additive", "window", "sparse"])
def test_attention_drops_weights_in_training_and_never_in_eval(name):
    attention = ATTENTIONS[name](dropout=0.5, num_heads=2, head_dim=8).double()
    q, k, v, _ = make(13, 13, "none", requires_grad=False)
    twice = lambda: [attend(attention, q, k, v, Mask("causal")) for _ in range(2)]  # noqa: E731
    attention.eval()
    assert torch.equal(*twice())
    attention.train()
    assert not torch.equal(*twice())
