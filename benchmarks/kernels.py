"""Why the CPU's fast paths are what they are: each against its plain definition, alternating, in one run.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --only projection

Prints a Markdown table: medians of forward + backward in milliseconds over alternating rounds, and the ratio of the
definition's time to the fast path's with its quartiles over the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.attention import KV, Mask
from dragoman.attention.fused import one_kernel, two_products
from dragoman.machine import processor
from dragoman.models.dropout import Dropout
from dragoman.training.fused_loss import FusedLoss, LinearCrossEntropy, Slope
from dragoman.training.loss import BlockwiseLoss, plain_loss, smoothed_loss
from dragoman.training.r_drop import Disagreement, DisagreementSlope

ROUNDS = 15
MOST, LONG = 5, 0.3  # repetitions in a round, and the seconds that they may take together


def attention(kernel: Callable[..., Tensor], sentences: int, length: int, dtype: torch.dtype) -> Callable[[], None]:
    """Four heads of 64, padding masked."""
    q, k, v = (torch.randn(sentences, 4, length, 64, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = Mask("self", torch.arange(length)[None] < torch.randint(length // 2, length + 1, (sentences, 1)))
    return lambda: kernel(q, KV(k, v), mask).sum().backward()


def dropout(apply: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    x = torch.randn(2048, 1024, requires_grad=True)
    return lambda: apply(x).sum().backward()


def loss(apply: Callable[..., Tensor], vocabulary: int) -> Callable[[], None]:
    logits = torch.randn(2048, vocabulary, dtype=torch.bfloat16, requires_grad=True)
    labels = torch.randint(4, vocabulary, (2048,))
    return lambda: apply(logits, labels, 0.1).backward()


def projection(apply: Callable[..., Tensor], vocabulary: int, dtype: torch.dtype) -> Callable[[], None]:
    """With the loss of its logits; neighbours have one label, as R-Drop has them."""
    states, weight = (torch.randn(n, 256, dtype=dtype, requires_grad=True) for n in (4096, vocabulary))
    labels = torch.randint(4, vocabulary, (2048,)).repeat_interleave(2)
    return lambda: apply(states, weight, labels, 0.1).backward()


def whole(states: Tensor, weight: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return smoothed_loss(states @ weight.T, labels, smoothing)


def disagreement(states: Tensor, weight: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return Disagreement(5.0)(states @ weight.T, labels, smoothing)


def portions(arithmetic: torch.nn.Module, states: Tensor, weight: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    size = FusedLoss(positions="auto").portion(weight)
    return LinearCrossEntropy.apply(states, weight, labels, smoothing, size, weight.dtype, arithmetic)


def sdpa(q: Tensor, past: KV, mask: Mask) -> Tensor:
    return one_kernel(q, past, mask, dropout=0.0)


def product(dtype: torch.dtype) -> Callable[[], None]:
    """What decides in which of both a CPU trains: `cpu_prefers_bf16`."""
    left, right = (torch.randn(1024, 1024, dtype=dtype) for _ in range(2))

    def work() -> None:
        left @ right

    return work


def cases() -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """Name → (plain, fast)."""
    ours = Dropout(0.3).train()
    found = {
        f"attention {name}, {n} × {t}: SDPA, two products": (attention(sdpa, n, t, d), attention(two_products, n, t, d))
        for name, d in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        for n, t in ((128, 16), (64, 32), (8, 256), (2, 1024))
    }
    found["dropout 0.3, 2048 × 1024: bernoulli, random bytes"] = (dropout(lambda x: F.dropout(x, 0.3)), dropout(ours))
    for size in (1_500, 8_000, 32_000):
        plain, fast = loss(plain_loss, size), loss(BlockwiseLoss.apply, size)
        found[f"smoothed loss bf16, 2048 × {size}: torch, blockwise"] = (plain, fast)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for size in (1_500, 8_000, 32_000):
            pair = projection(whole, size, dtype), projection(partial(portions, Slope()), size, dtype)
            found[f"projection and loss {name}, 4096 × 256 × {size}: whole, portions"] = pair
        pair = (
            projection(disagreement, 8_000, dtype),
            projection(partial(portions, DisagreementSlope(5.0)), 8_000, dtype),
        )
        found[f"projection and R-Drop {name}, 4096 × 256 × 8000: whole, portions"] = pair
    found["product of 1024 × 1024, forward alone: fp32, bf16"] = (product(torch.float32), product(torch.bfloat16))
    return found


def milliseconds(work: Callable[[], None], repetitions: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(repetitions):
        work()
    return (time.perf_counter() - began) / repetitions * 1e3


def rounds(plain: Callable[[], None], fast: Callable[[], None]) -> list[tuple[float, float]]:
    """Milliseconds of both, again and again."""
    milliseconds(plain), milliseconds(fast)  # warm up
    repetitions = max(1, min(MOST, int(1e3 * LONG / (milliseconds(plain) + milliseconds(fast)))))
    return [(milliseconds(plain, repetitions), milliseconds(fast, repetitions)) for _ in range(ROUNDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the rows whose names hold this text")
    only = parser.parse_args().only
    torch.manual_seed(0)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {date.today()}\n")
    print("| forward + backward: plain, fast | plain ms | fast ms | plain / fast, quartiles |\n|---|---|---|---|")
    for name, (plain, fast) in cases().items():
        if only not in name:
            continue
        pairs = rounds(plain, fast)
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} | {middle:.2f} ({low:.2f}–{high:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
