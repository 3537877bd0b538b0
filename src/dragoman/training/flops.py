"""How many floating-point operations training a Transformer takes, and how many this machine does at its best.

Shapes: N pairs, B sentences, S source positions, T target positions.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.data.batch import Batch
from dragoman.ids import PAD
from dragoman.models import Transformer

SIDES = {"cpu": 1024, "cuda": 8192}  # of square matrices, large enough for the highest rate
REPEATS = 5


def training_flops(model: Transformer, lengths_N2: Any) -> Any:
    """Of matrix products, forward and backward, for every token of the pairs once.

    6 · (weights · tokens that meet them) + 12 · width · (pairs of a query and a key), as Kaplan et al. 2020, section
    2.1, count, and Chowdhery et al. 2022, appendix B; cross-attention's keys and values are of the source, half the
    pairs of a causal attention are masked, and neither padding nor what is computed twice counts. Every attention is
    taken for one of scaled products. `lengths_N2`: of source and target, EOS included, as an array or a tensor.
    """
    cross = sum(linear_weights(layer.cross_attention.key_value) for layer in model.decoder)
    source_weights = linear_weights(*model.encoder) + cross
    target_weights = linear_weights(*model.decoder) - cross + linear_weights(model.output)
    S, T = lengths_N2.T * 1.0
    weights = source_weights * S.sum() + target_weights * T.sum()
    pairs = len(model.encoder) * (S * S).sum() + len(model.decoder) * (T * T / 2 + T * S).sum()
    return 6 * weights + 12 * model.output.in_features * pairs


def linear_weights(*modules: nn.Module) -> int:
    """Numbers that a token is multiplied by."""
    inner = (one for module in modules for one in module.modules())
    return sum(one.weight.numel() for one in inner if isinstance(one, nn.Linear))


def lengths(batch: Batch) -> Tensor:
    """Of source and target, EOS included: (B, 2)."""
    return torch.stack(((batch.src_BS != PAD).sum(1), (batch.tgt_BT != PAD).sum(1) - 1), dim=1)


def product_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Floating-point operations a second of the fastest of a few products of square matrices."""
    dice = torch.Generator(device).manual_seed(1)  # of its own: training's must not be moved
    left, right = (torch.randn(side, side, device=device, generator=dice).to(dtype) for _ in range(2))
    return 2 * side**3 / min(seconds(left, right) for _ in range(REPEATS + 1))


def seconds(left: Tensor, right: Tensor) -> float:
    """Of one product."""
    if left.is_cuda:
        torch.cuda.synchronize(left.device)
    began = time.perf_counter()
    left @ right
    if left.is_cuda:
        torch.cuda.synchronize(left.device)
    return time.perf_counter() - began


class Work:
    """What training does in the units of what the machine could do: model FLOPs against those of plain products."""

    def __init__(self, model: Transformer, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model
        self.peak = product_rate(device, dtype, SIDES.get(device.type, SIDES["cpu"]))
        self.done: Any = 0.0  # since it was last asked for

    def add(self, batch: Batch) -> None:
        """Of a batch that is trained on; asks the device for nothing."""
        self.done = self.done + training_flops(self.model, lengths(batch))

    def share(self, elapsed: float) -> float:
        """Of the peak, in the seconds since the last call."""
        done, self.done = float(self.done), 0.0
        return done / (elapsed * self.peak)
