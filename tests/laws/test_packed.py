"""Linear layers made ready for a processor: the numbers of the plain ones, to what their precision holds."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dragoman.errors import InputError
from dragoman.models import Ensemble
from dragoman.models.packed import LARGE, PRECISIONS, Blocked, BlockedInt8, Int8, Rounded, packed
from dragoman.search import Beam, Greedy
from models_for_tests import EndsSentences, encoder_decoder, rnnsearch, sources, transformer

LENGTHS = {"max_source": 64, "length_ratio": 1.0, "length_extra": 6}
MODELS = {
    "transformer": transformer,
    "one head of keys": partial(transformer, num_kv_heads=1),
    "swiglu": partial(transformer, feed_forward="swiglu"),
    "RNNsearch": rnnsearch,
    "lstm": partial(encoder_decoder, cell="lstm"),
    "ensemble": lambda: Ensemble([transformer(0), transformer(1)]).eval(),
}
SHAPES = [((1, 1), 16, 8), ((4, 1), 256, 300), ((3, 5), 33, 7), ((2, 3, 4), 64, 1000)]
every_shape = pytest.mark.parametrize(("rows", "width", "out"), SHAPES)
needs_vnni = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="its sums would overflow without VNNI")
each_int8 = pytest.mark.parametrize("kind", [Int8, pytest.param(BlockedInt8, marks=needs_vnni)])
with_and_without_bias = pytest.mark.parametrize("bias", [True, False])


def layer(width: int, out: int, bias: bool) -> nn.Linear:
    torch.manual_seed(width + out)
    return nn.Linear(width, out, bias=bias).requires_grad_(False)


@every_shape
@with_and_without_bias
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_order_of_weights_changes_nothing(rows, width, out, bias, dtype):
    linear, x = layer(width, out, bias), torch.randn(*rows, width)
    ours, plain = Blocked(linear, dtype)(x), Rounded(linear, dtype)(x)
    assert ours.dtype == plain.dtype == torch.float32
    exact = F.linear(x.to(dtype).double(), *(None if p is None else p.to(dtype).double() for p in parts(linear)))
    close = {torch.float32: 1e-5, torch.bfloat16: 2**-8}[dtype]
    for found in (ours, plain):
        torch.testing.assert_close(found.double(), exact, rtol=close, atol=close)


def parts(linear: nn.Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    return linear.weight, linear.bias


@every_shape
@with_and_without_bias
@each_int8
def test_int8_is_the_product_of_what_was_rounded(rows, width, out, bias, kind):
    """Whole numbers up to 127, a step for each row and what rounding has to take away: the product of the rest."""
    linear = layer(width, out, bias)
    x_whole, weight_whole = (torch.randint(-126, 127, shape).double() for shape in ((*rows, width), (out, width)))
    x_whole[..., 0] = weight_whole[:, 1] = 127
    x_step, weight_step = torch.rand(*rows, 1).double() * 10, torch.rand(out, 1).double()
    linear.weight.copy_(off(weight_whole) * weight_step)
    expected = F.linear(x_whole * x_step, weight_whole * weight_step, linear.bias.double() if bias else None)
    found = kind(linear)((off(x_whole) * x_step).float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    assert (found - linear((off(x_whole) * x_step).float())).abs().max() > 0


def off(whole):
    """By less than half, but for the largest."""
    return torch.where(whole == 127, whole, whole + (torch.rand_like(whole) - 0.5) * 0.9)


@each_int8
def test_a_row_in_int8_depends_on_no_other_and_zero_stays_zero(kind):
    linear, x = layer(64, 40, True), torch.randn(30, 64) * torch.logspace(-3, 3, 30)[:, None]
    x[4] = 0
    together = kind(linear)(x)
    for row, expected in zip(x, together, strict=True):
        assert torch.equal(kind(linear)(row[None])[0], expected)
    assert torch.equal(together[4], linear.bias)


@each_int8
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_in_int8_do_not_overflow(kind, sign):
    linear = layer(4096, 24, False)
    linear.weight.fill_(127.0)
    x = torch.full((5, 4096), 127.0 * sign)
    torch.testing.assert_close(kind(linear)(x), torch.full((5, 24), sign * 4096 * 127.0**2), rtol=1e-6, atol=0)


@needs_vnni
def test_large_layers_in_int8_are_blocked_and_small_ones_are_not():
    large, small = nn.Linear(64, LARGE // 64), nn.Linear(64, LARGE // 64 - 1)
    model = nn.Sequential(large, small)
    model.device = torch.device("cpu")
    assert [type(one) for one in packed(model, "int8")] == [BlockedInt8, Int8]


@pytest.mark.parametrize("make_model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize(("precision", "apart"), [("fp32", 1e-4), ("bf16", 0.3), ("int8", 0.6)])
def test_a_packed_model_gives_the_logits_of_the_plain_one(make_model, precision, apart):
    src, tgt = sources(12), torch.randint(4, 23, (12, 6))
    with torch.no_grad():
        plain, ours = make_model()(src, tgt), packed(make_model(), precision)(src, tgt)
    assert ours.dtype == plain.dtype
    assert (ours - plain).abs().max() < apart * plain.std()
    assert not any(isinstance(part, nn.Linear) for part in packed(make_model(), "int8").modules())


@pytest.mark.parametrize("search", [Greedy(**LENGTHS), Beam(beam=3, length_penalty=0.6, nbest=1, **LENGTHS)])
def test_a_packed_model_translates_as_the_plain_one(search):
    src = sources(48)
    found = {
        precision: [best[0].ids for best in search(EndsSentences(packed(transformer(), precision), 2.0).eval(), src)]
        for precision in PRECISIONS
    }
    plain = [best[0].ids for best in search(EndsSentences(transformer(), 2.0).eval(), src)]
    assert found["fp32"] == plain
    assert len({tuple(ids) for ids in plain}) >= 10
    for precision in ("bf16", "int8"):
        assert sum(ours == theirs for ours, theirs in zip(found[precision], plain, strict=True)) >= 30


def test_large_layers_are_packed_in_fp32_and_small_ones_left():
    large = transformer(target_vocab_size=1 << 16)
    plain = copy.deepcopy(large)
    assert isinstance(packed(large, "fp32").output, Blocked)
    assert sum(isinstance(part, nn.Linear) for part in large.modules()) == 2 * 5 + 2 * 8
    with torch.no_grad():
        src, tgt = sources(4), torch.randint(4, 23, (4, 6))
        torch.testing.assert_close(large(src, tgt), plain(src, tgt), rtol=1e-4, atol=1e-4)


def test_messages():
    with pytest.raises(InputError, match=r"`precision` \(fp8\) must be one of fp32, bf16, int8\."):
        packed(transformer(), "fp8")
    with pytest.raises(InputError, match=r"`precision` \(int8\) is for a CPU, not for meta: choose fp32 or bf16\."):
        packed(transformer().to("meta"), "int8")
