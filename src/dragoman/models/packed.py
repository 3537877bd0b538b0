"""Linear layers as a processor multiplies them soonest: for translating. Training knows none of it.

Shapes: R rows, I input width, O output width.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragoman.errors import InputError
from dragoman.models.seq2seq import Seq2Seq

PRECISIONS = ("fp32", "bf16", "int8")
LARGE = 1 << 20  # weights: fewer of them torch multiplies in fp32 as soon or sooner in their usual order
LARGEST = 127  # of int8, on both sides of zero
ZERO = 128  # what stands for it without a sign, as oneDNN wants its rows


class Rounded(nn.Module):
    """x Wᵀ + b in `dtype`, given back in that of x."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = linear.weight.detach().to(dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.dtype), self.weight, self.bias).to(x.dtype)


class Blocked(Rounded):
    """The same on a CPU: the weights lie once for all in the order in which oneDNN reads them."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(linear, dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        product = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, "none", [], "")
        return product.to(x.dtype)


class Int8(nn.Module):
    """s w (q Qᵀ) + b, where x ≈ s q and W ≈ w Q in whole numbers up to 127: a scale for each row of either.

    So a row of the result depends on no other, and its sums of products are exact.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale_O1, weight_OI = whole(linear.weight.detach())
        self.scale_O, self.weight_IO = scale_O1[:, 0], weight_OI.t()
        self.bias_O = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        scale_R1, rows_RI = whole(x.flatten(0, -2))
        product_RO = self.product(rows_RI).mul_(scale_R1)
        if self.bias_O is not None:
            product_RO += self.bias_O
        return product_RO.unflatten(0, x.shape[:-1])

    def product(self, rows_RI: Tensor) -> Tensor:
        """w (q Qᵀ), (R, O)."""
        return torch._int_mm(rows_RI, self.weight_IO).float().mul_(self.scale_O)


class BlockedInt8(Int8):
    """The same in one pass, for large layers on a processor with VNNI; without it oneDNN's sums could overflow."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.packed = torch.ops.onednn.qlinear_prepack(self.weight_IO.t(), None)
        del self.weight_IO
        self.zeros_O = torch.zeros_like(self.scale_O, dtype=torch.long)

    def product(self, rows_RI: Tensor) -> Tensor:
        unsigned_RI = rows_RI.view(torch.uint8) ^ ZERO  # which adds it
        of_rows, of_sums = (1.0, ZERO), (1.0, 0, torch.float32)  # scales, zero points and a type
        weights = (self.packed, self.scale_O, self.zeros_O, None)
        return torch.ops.onednn.qlinear_pointwise(unsigned_RI, *of_rows, *weights, *of_sums, "none", [], "")


def whole(x_RI: Tensor) -> tuple[Tensor, Tensor]:
    """A scale for each row, (R, 1), and what has to be multiplied by it."""
    scale_R1 = x_RI.abs().amax(1, keepdim=True).clamp_min_(torch.finfo(x_RI.dtype).tiny).div_(LARGEST)
    return scale_R1, (x_RI / scale_R1).round_().to(torch.int8)


def packed(model: Seq2Seq, precision: str) -> Seq2Seq:
    """The model itself, its linear layers made ready to multiply in fp32, bf16 or int8 on the device where it is.

    InputError for what that cannot do. Other layers, attention among them, stay as they are.
    """
    if precision not in PRECISIONS:
        raise InputError(f"`precision` ({precision}) must be one of {', '.join(PRECISIONS)}.")
    on_cpu = model.device.type == "cpu"
    if precision == "int8" and not on_cpu:
        raise InputError(f"`precision` (int8) is for a CPU, not for {model.device.type}: choose fp32 or bf16.")
    blocks = on_cpu and torch.backends.mkldnn.is_available()
    if precision == "int8":
        fast = blocks and torch.cpu._is_vnni_supported()
        replace_linears(model, lambda one: BlockedInt8(one) if fast and one.weight.numel() >= LARGE else Int8(one))
    elif precision == "bf16":
        replace_linears(model, partial(Blocked if blocks else Rounded, dtype=torch.bfloat16))
    elif blocks:
        replace_linears(model, lambda one: Blocked(one, torch.float32) if one.weight.numel() >= LARGE else one)
    return model


def replace_linears(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Each linear layer by what `make` makes of it."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, make(child).train(child.training))
        else:
            replace_linears(child, make)
