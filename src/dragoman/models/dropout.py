"""Dropout from eight random bits an element: on a CPU `bernoulli_` would take a quarter of a training step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Srivastava et al. 2014, inverted: x · keep / P(keep) in training, x otherwise.

    On a CPU, unless it is compiled, the probability is rounded to 256ths (0.3 becomes 77/256 = 0.3008, 0.1 becomes
    26/256 = 0.1016) and the scale is that of the rounded value, so that the expectation stays: in fp32 to its last bit,
    in bf16 to 0.4 %, for there the scale is rounded too (at 0.1 it is 1.1094 for 1.1130). `realised` says what
    probability is used. ValueError for a probability that is not at least 0 and less than 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"A dropout probability ({probability}) must be at least 0 and less than 1.")
        self.probability = probability
        self.threshold = min(round(probability * 256), 255)

    @property
    def realised(self) -> float:
        return self.threshold / 256

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        if not x.is_cpu or torch.compiler.is_compiling():
            return F.dropout(x, self.probability)
        keep = random_bytes(x.shape) >= self.threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - self.threshold))

    def extra_repr(self) -> str:
        return f"{self.probability}"


def random_bytes(shape: torch.Size) -> Tensor:
    """Uniform uint8 on the CPU, eight from each 64-bit number that torch's generator draws."""
    count = shape.numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:count].view(shape)
