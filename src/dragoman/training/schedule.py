"""Learning rate schedules: a factor of the base rate for each optimizer step, counted from 0."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warm_up(step: int, steps: int) -> float:
    """Linear from 1/steps to 1, where the first step is the first of `steps`; 1 from then on."""
    return min(1.0, (step + 1) / max(1, steps))


def inverse_sqrt(optimizer: Optimizer, *, warmup_steps: int) -> LambdaLR:
    """Linear warm-up to the base rate, then falling with 1/√step: Vaswani et al. 2017, section 5.3, normalised."""

    def factor(step: int) -> float:
        return warm_up(step, warmup_steps) * math.sqrt(max(1, warmup_steps) / max(step + 1, warmup_steps, 1))

    return scheduled(optimizer, factor, warmup_steps=warmup_steps)


def cosine(optimizer: Optimizer, *, warmup_steps: int, total_steps: int, final_factor: float) -> LambdaLR:
    """Linear warm-up, then half a cosine down to `final_factor` at `total_steps`: Loshchilov and Hutter 2017."""
    if total_steps <= warmup_steps:
        raise ValueError(f"`total_steps` ({total_steps}) must be greater than `warmup_steps` ({warmup_steps}).")
    if not 0 <= final_factor <= 1:
        raise ValueError(f"`final_factor` ({final_factor}) must be between 0 and 1.")

    def factor(step: int) -> float:
        progress = min(1.0, max(0, step + 1 - warmup_steps) / (total_steps - warmup_steps))
        cosine_part = (1 + math.cos(math.pi * progress)) / 2
        return warm_up(step, warmup_steps) * (final_factor + (1 - final_factor) * cosine_part)

    return scheduled(optimizer, factor, warmup_steps=warmup_steps)


def constant(optimizer: Optimizer, *, warmup_steps: int) -> LambdaLR:
    """Linear warm-up, then the base rate for ever."""
    return scheduled(optimizer, lambda step: warm_up(step, warmup_steps), warmup_steps=warmup_steps)


def scheduled(optimizer: Optimizer, factor: Callable[[int], float], *, warmup_steps: int) -> LambdaLR:
    """The base rate times the factor of each step."""
    if warmup_steps < 0:
        raise ValueError(f"`warmup_steps` ({warmup_steps}) must be at least 0.")
    return LambdaLR(optimizer, factor)
