"""The last projection and the loss as one, in portions: memory of a batch's logits is never needed.

Shapes: N target positions, D model width, V target vocabulary, R positions of a portion.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from dragoman.attention.base import at_least_fp32
from dragoman.data.batch import Batch
from dragoman.errors import InputError
from dragoman.models.seq2seq import Projecting, Seq2Seq
from dragoman.training.loss import Loss, WholeLoss, labels_of, loss_and_slope, smoothed_loss

ON_CPU = 1 << 21  # logits of a portion on a CPU: 8 MiB in fp32, memory that is had once and used again
ON_DEVICE = 4096  # positions of a portion elsewhere: products large enough to fill a GPU


class Slope(nn.Module):
    """Logits → their loss, and its gradient, for which fp32 logits give their memory; a module, to be compiled."""

    def forward(self, logits_RV: Tensor, labels_R: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
        loss, slope_RV = loss_and_slope(at_least_fp32(logits_RV), labels_R, label_smoothing)
        return loss, slope_RV.to(logits_RV.dtype)


class FusedLoss(Loss):
    """`WholeLoss`, where a model's logits are one matrix product of `positions` target positions at a time."""

    def __init__(self, *, positions: int | Literal["auto"]) -> None:
        super().__init__()
        if positions != "auto" and (type(positions) is not int or positions < 1):
            raise ValueError(f"`positions` ({positions}) must be auto or a whole number, at least 1.")
        self.positions = positions
        self.arithmetic = Slope()
        self.whole = WholeLoss()

    def check(self, model: Seq2Seq, spread: bool) -> None:
        """Serves every model; one that does not end in a projection has all its logits at once."""
        if spread:
            raise InputError(
                "loss=fused needs the whole last projection in each process: with trainer=fsdp take loss=whole."
            )

    def portion(self, weight_VD: Tensor) -> int:
        """How many target positions at a time."""
        if self.positions != "auto":
            return self.positions
        return max(1, ON_CPU // len(weight_VD)) if weight_VD.is_cpu else ON_DEVICE

    def forward(self, model: Seq2Seq, batch: Batch, label_smoothing: float) -> Tensor:
        if not isinstance(model, Projecting):
            return self.whole(model, batch, label_smoothing)
        states_ND = model.states(batch.src_BS, batch.tgt_BT[:, :-1]).flatten(0, 1)
        weight_VD, labels_N = model.output.weight, labels_of(batch)
        dtype, positions = product_type(weight_VD), self.portion(weight_VD)
        if torch.is_grad_enabled():
            how = (label_smoothing, positions, dtype, self.arithmetic)
            return LinearCrossEntropy.apply(states_ND, weight_VD, labels_N, *how)
        portions = zip(states_ND.split(positions), labels_N.split(positions), strict=True)
        weight_DV = weight_VD.to(dtype).T
        losses = [smoothed_loss(states_RD.to(dtype) @ weight_DV, part, label_smoothing) for states_RD, part in portions]
        return torch.stack(losses).sum()


def product_type(weight: Tensor) -> torch.dtype:
    """In which type autocast, if it is on, multiplies by a weight."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


class LinearCrossEntropy(torch.autograd.Function):
    """Σ loss of h Wᵀ, in products of `dtype`: a portion's gradients of h and W are made beside its loss."""

    @staticmethod
    def forward(
        ctx: Any,
        states_ND: Tensor,
        weight_VD: Tensor,
        labels_N: Tensor,
        label_smoothing: float,
        positions: int,
        dtype: torch.dtype,
        arithmetic: nn.Module,
    ) -> Tensor:
        weights, kept = weight_VD.to(dtype), torch.promote_types(dtype, torch.float32)
        total = torch.zeros((), dtype=kept, device=weights.device)
        grad_ND = torch.empty_like(states_ND)
        grad_VD = torch.zeros_like(weights, dtype=kept) if ctx.needs_input_grad[1] else None  # None: it is frozen
        for states_RD, labels_R, grad_RD in zip(
            states_ND.split(positions), labels_N.split(positions), grad_ND.split(positions), strict=True
        ):
            states_RD = states_RD.to(dtype)
            loss, slope_RV = arithmetic(states_RD @ weights.T, labels_R, label_smoothing)
            total += loss
            grad_RD.copy_(slope_RV @ weights)
            if grad_VD is not None:
                grad_VD += slope_RV.T @ states_RD
        ctx.save_for_backward(grad_ND, None if grad_VD is None else grad_VD.to(weight_VD.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        grad_ND, grad_VD = ctx.saved_tensors
        (scale,) = grad_outputs
        return *(None if grad is None else grad * scale.to(grad.dtype) for grad in (grad_ND, grad_VD)), *[None] * 5
