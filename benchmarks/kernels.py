"""Why the CPU's fast paths are what they are: each against its plain definition, alternating, in one run.

    python benchmarks/kernels.py

Prints a Markdown table: medians of forward + backward in milliseconds over alternating rounds, and the ratio of the
definition's time to the fast path's with its quartiles over the rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

import torch
from torch import Tensor
from torch.nn import functional as F

from dragoman.attention import KV, Mask
from dragoman.attention.fused import one_kernel, two_products
from dragoman.machine import processor
from dragoman.models.dropout import Dropout
from dragoman.training.fused_loss import FusedLoss, LinearCrossEntropy, Slope
from dragoman.training.loss import BlockwiseLoss, plain_loss, smoothed_loss

ROUNDS, REPEATS = 15, 5


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
    """With the loss of its logits."""
    states, weight = (torch.randn(n, 256, dtype=dtype, requires_grad=True) for n in (4096, vocabulary))
    labels = torch.randint(4, vocabulary, (4096,))
    return lambda: apply(states, weight, labels, 0.1).backward()


def whole(states: Tensor, weight: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return smoothed_loss(states @ weight.T, labels, smoothing)


def portions(states: Tensor, weight: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    size = FusedLoss(positions="auto").portion(weight)
    return LinearCrossEntropy.apply(states, weight, labels, smoothing, size, weight.dtype, Slope())


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
            pair = projection(whole, size, dtype), projection(portions, size, dtype)
            found[f"projection and loss {name}, 4096 × 256 × {size}: whole, portions"] = pair
    found["product of 1024 × 1024, forward alone: fp32, bf16"] = (product(torch.float32), product(torch.bfloat16))
    return found


def milliseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - began) / REPEATS * 1e3


def main() -> None:
    torch.manual_seed(0)
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {date.today()}\n")
    print("| forward + backward: plain, fast | plain ms | fast ms | plain / fast, quartiles |\n|---|---|---|---|")
    for name, (plain, fast) in cases().items():
        milliseconds(plain), milliseconds(fast)  # warm up
        pairs = [(milliseconds(plain), milliseconds(fast)) for _ in range(ROUNDS)]
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} | {middle:.2f} ({low:.2f}–{high:.2f}) |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
