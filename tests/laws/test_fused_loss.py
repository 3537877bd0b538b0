"""The last projection fused with the loss: = the loss of all the logits, in value and in every gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.errors import InputError
from dragoman.training.fused_loss import FusedLoss, LinearCrossEntropy, Slope
from dragoman.training.loss import WholeLoss
from models_for_tests import batch_of, rnnsearch, transformer

# Relative to the largest entry: fp64 rounds nothing that counts, bf16 keeps 8 bits of each logit and slope.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}


def by_definition(states_ND: Tensor, weight_VD: Tensor, labels_N: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(
        states_ND @ weight_VD.T, labels_N, ignore_index=0, label_smoothing=smoothing, reduction="sum"
    )


def gradients(function: Any, *leaves: Tensor) -> list[Tensor]:
    """The value, then the gradient of three times it by each leaf."""
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    value = function(*leaves)
    (3 * value).backward()
    return [value.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("positions", [1, 7, 16, 100])
def test_portions_are_the_whole(positions, smoothing, dtype):
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(n, 12, generator=generator, dtype=torch.float64) for n in (33, 50))
    labels = torch.randint(1, 50, (33,), generator=generator)
    labels[::4] = 0
    plain = gradients(lambda h, w: by_definition(h, w, labels, smoothing), states, weight)
    how = (labels, smoothing, positions, dtype, Slope())
    ours = gradients(lambda h, w: LinearCrossEntropy.apply(h, w, *how), states, weight)
    assert plain[1].abs().max() > 0.1
    for one, other in zip(ours, plain, strict=True):
        assert ((one - other).abs().max() / other.abs().max()).item() <= TOLERANCES[dtype]
    assert (ours[1][::4] == 0).all(), "padding moves nothing"


@pytest.mark.parametrize("tied", ["all", "none"])
def test_a_transformer_learns_the_same_of_it(tied):
    torch.manual_seed(0)
    model = transformer(tied_embeddings=tied)
    batch, found = batch_of(model), []
    for criterion in (WholeLoss(), FusedLoss(positions=5)):
        model.zero_grad()
        loss = criterion(model, batch, 0.1)
        loss.backward()
        with torch.no_grad():
            assert criterion(model, batch, 0.1).item() == pytest.approx(loss.item(), rel=1e-5)
        found.append({name: part.grad.clone() for name, part in model.named_parameters()})
    assert len(found[0]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5)


def test_a_frozen_projection_is_not_differentiated():
    model = transformer(tied_embeddings="none")
    batch, found = batch_of(model), []
    for learnt in (True, False):
        model.zero_grad()
        model.output.weight.requires_grad_(learnt)
        FusedLoss(positions=5)(model, batch, 0.1).backward()
        found.append({name: part.grad for name, part in model.named_parameters() if part.grad is not None})
    assert found[0].keys() - found[1].keys() == {"output.weight"}
    assert len(found[1]) > 10
    assert all(found[0][name].equal(gradient) for name, gradient in found[1].items())


def test_under_autocast_products_are_those_of_its_type():
    torch.manual_seed(0)
    model = transformer()
    batch, found = batch_of(model), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(FusedLoss(positions=5)(model, batch, 0.1).item())
    assert found[0] != found[1] == pytest.approx(found[0], rel=1e-2)


def test_other_models_have_their_logits_at_once():
    torch.manual_seed(0)
    model, fused = rnnsearch(), FusedLoss(positions="auto")
    fused.check(model, spread=False)
    batch = batch_of(model)
    assert torch.equal(fused(model, batch, 0.1), WholeLoss()(model, batch, 0.1))


def test_portions_suit_the_device():
    fused = FusedLoss(positions="auto")
    assert [fused.portion(torch.empty(size, 0)) for size in (1024, 1 << 21, 1 << 22)] == [2048, 1, 1]
    assert fused.portion(torch.empty(1024, 0, device="meta")) == 4096
    assert FusedLoss(positions=5).portion(torch.empty(1024, 0)) == 5


def test_what_cannot_be_is_refused_by_a_sentence():
    with pytest.raises(InputError, match=r"whole last projection in each process.*: .*loss=whole"):
        FusedLoss(positions=5).check(transformer(), spread=True)
    WholeLoss().check(rnnsearch(), spread=True)
    for positions in (0, "all", True, 1.5):
        with pytest.raises(ValueError, match=rf"`positions` \({positions}\)"):
            FusedLoss(positions=positions)
