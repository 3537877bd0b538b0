"""R-Drop: in portions = all at once = the paper's formula, in value and in every gradient; padding counts nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.data.batch import Batch
from dragoman.errors import InputError
from dragoman.models.dropout import Dropout
from dragoman.training.fused_loss import FusedLoss
from dragoman.training.loss import WholeLoss
from dragoman.training.r_drop import Disagreement, DisagreementSlope, RDrop, neighbours
from models_for_tests import batch_of, rnnsearch, transformer

# Of gradient entries, which reach about 10 here: an fp32 logarithm near 10 is good to 1e-6, bf16 rounds once to 8 bits.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2**-5}


def case(positions: int, V: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits of two passes beside each other, and labels, a third of them padding."""
    generator = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(2 * positions, V, generator=generator)).to(dtype)
    labels = torch.randint(1, V, (positions,), generator=generator)
    labels[1::3] = 0
    return logits, labels.repeat_interleave(2)


def by_definition(logits_NV: Tensor, labels_N: Tensor, smoothing: float, weight: float) -> Tensor:
    """Liang et al. 2021, equations 1 to 4, halved, by torch's own divergence."""
    real = labels_N != 0
    log_p, log_q = (one.log_softmax(-1)[real[::2]] for one in (logits_NV[::2], logits_NV[1::2]))
    apart = sum(F.kl_div(a, b, reduction="sum", log_target=True) for a, b in ((log_p, log_q), (log_q, log_p)))
    assert apart > 10
    loss = F.cross_entropy(logits_NV[real], labels_N[real], label_smoothing=smoothing, reduction="sum")
    return (loss + weight * apart / 2) / 2


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_slope_are_those_of_the_formula(smoothing, weight, dtype):
    logits, labels = case(31, 40, dtype)
    leaf = logits.double().requires_grad_()
    value = by_definition(leaf, labels, smoothing, weight)
    value.backward()
    ours, slope = DisagreementSlope(weight)(logits, labels, smoothing)
    assert slope.dtype == dtype
    assert ours.item() == pytest.approx(value.item(), rel=2e-6)
    torch.testing.assert_close(slope.double(), leaf.grad, rtol=0, atol=TOLERANCES[dtype])
    assert (slope[labels == 0] == 0).all()
    assert leaf.grad.abs().max() > 0.4
    assert Disagreement(weight)(logits, labels, smoothing).item() == pytest.approx(value.item(), rel=2e-6)


def test_two_passes_that_agree_cost_what_one_does():
    logits, labels = case(31, 40, torch.float64)
    same = logits[::2].repeat_interleave(2, 0)
    loss, slope = DisagreementSlope(5.0)(same, labels, 0.1)
    once, _ = DisagreementSlope(0.0)(same, labels, 0.1)
    plain = F.cross_entropy(same[::2], labels[::2], ignore_index=0, label_smoothing=0.1, reduction="sum")
    assert loss.item() == pytest.approx(plain.item(), rel=1e-12)
    assert once.item() == pytest.approx(plain.item(), rel=1e-12)
    torch.testing.assert_close(slope[::2], slope[1::2])


def test_the_passes_of_a_position_become_neighbours():
    first = torch.arange(6).view(2, 3, 1)
    assert neighbours(torch.cat((first, 10 + first))).flatten().tolist() == [0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15]


def learnt(model: Any, criterion: RDrop, batch: Batch) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients, dropout drawn from the same seed."""
    model.zero_grad()
    torch.manual_seed(1)
    loss = criterion(model, batch, 0.1)
    (3 * loss).backward()
    return loss.item(), {name: part.grad.clone() for name, part in model.named_parameters()}


@pytest.mark.parametrize("positions", [1, 5, 16, 1000, "auto"])
@pytest.mark.parametrize("tied", ["all", "none"])
def test_a_transformer_learns_the_same_of_portions(tied, positions):
    torch.manual_seed(0)
    model = transformer(tied_embeddings=tied, dropout=0.3).train()
    batch = batch_of(model)
    expected, plain = learnt(model, RDrop(weight=5.0, positions=None), batch)
    found, ours = learnt(model, RDrop(weight=5.0, positions=positions), batch)
    without, _ = learnt(model, RDrop(weight=0.0, positions=positions), batch)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found > 1.05 * without, "the passes differ"
    assert len(plain) > 10
    for name, gradient in plain.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-4)


def test_other_models_have_their_logits_at_once():
    torch.manual_seed(0)
    model = rnnsearch().train()
    batch = batch_of(model)
    found = [learnt(model, RDrop(weight=5.0, positions=positions), batch)[0] for positions in ("auto", None)]
    assert found[0] == found[1]


@pytest.mark.parametrize(("positions", "once"), [(None, WholeLoss()), (5, FusedLoss(positions=5))])
def test_validation_is_the_loss_of_one_pass(positions, once):
    torch.manual_seed(0)
    model = transformer(dropout=0.3).eval()
    assert any(isinstance(part, Dropout) for part in model.modules())
    batch = batch_of(model)
    with torch.no_grad():
        assert torch.equal(RDrop(weight=5.0, positions=positions)(model, batch, 0.1), once(model, batch, 0.1))


def test_what_cannot_be_is_refused_by_a_sentence():
    with pytest.raises(InputError, match=r"trainer=fsdp set loss\.positions=null"):
        RDrop(weight=5.0, positions="auto").check(transformer(dropout=0.3), spread=True)
    RDrop(weight=5.0, positions=None).check(transformer(dropout=0.3), spread=True)
    for weight in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="`weight`"):
            RDrop(weight=weight, positions=5)
    with pytest.raises(ValueError, match="`positions`"):
        RDrop(weight=1.0, positions=0)


@pytest.mark.parametrize("where", ["dropout", "feed_forward_dropout", "attention_dropout", "nowhere"])
def test_that_no_dropout_makes_it_useless_is_told_where_there_is_none(where, caplog):
    none = {"dropout": 0.0, "feed_forward_dropout": 0.0, "attention_dropout": 0.0}
    model = transformer(**none | ({} if where == "nowhere" else {where: 0.3}))
    RDrop(weight=5.0, positions=5).check(model, spread=False)
    assert bool(caplog.messages) == (where == "nowhere")
