"""Steps that would spoil the weights, left out."""

from torch import Tensor
from torch.optim import Optimizer


def leave_out(optimizer: Optimizer, unsound: Tensor) -> None:
    """Let the coming step change nothing, neither weights nor moments, if it is `unsound`, a bool of no dimension.

    Fused optimizers look for themselves, as they do for a loss scaler; the others must be waited for.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = unsound.float()  # type: ignore[attr-defined]
    elif unsound:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
