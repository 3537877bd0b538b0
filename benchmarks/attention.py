"""Quadratic or not: time and peak memory of every attention by length, and their slopes.

    python benchmarks/attention.py                    # 64 … 16,384 positions, up to 8 GiB of tensors
    python benchmarks/attention.py --longest 2048

One sentence, one head of 64, fp32; forward alone and forward + backward, each in a process of its own. Memory is the
most bytes of tensors alive at once, above what was given. Slopes are those of a line through the last four doublings
in log-log. Writes docs/attention-cost.json and .png and prints a Markdown table.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.profiler import ProfilerActivity, profile

from dragoman.attention import Additive, Attention, Fused, Linear, Mask, ScaledDot, SlidingWindow
from dragoman.machine import processor

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 64
LIMIT = 8 << 30  # bytes
REPEATS = 5
MECHANISMS = {
    "dot": (partial(ScaledDot, scale=True), (2, 2)),
    "fused": (Fused, (2, 1)),
    "additive": (Additive, (2, 2)),
    "window": (partial(SlidingWindow, window=32, global_tokens=0), (1, 1)),
    "sparse": (partial(SlidingWindow, window=32, global_tokens=1), (1, 1)),
    "linear": (Linear, (1, 1)),
}  # name → how to make it, and the exponents of time and memory that theory gives it


def work(attention: Attention, length: int, backward: bool) -> tuple[float, int]:
    """Seconds (the least of some) and bytes of one causal pass."""
    q, k, v = (torch.randn(1, 1, length, WIDTH, requires_grad=backward) for _ in range(3))
    mask = Mask("causal")

    def once() -> None:
        with torch.set_grad_enabled(backward):
            context = attention(q, attention.remember(None, k, v, mask), mask)
        if backward:
            context.sum().backward()

    once()
    began, times = time.perf_counter(), []
    while len(times) < REPEATS and (not times or time.perf_counter() - began < 20):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    return min(times), peak_bytes(once)


def peak_bytes(once: partial) -> int:
    """The most bytes alive at once during the call, by the profiler's account of every allocation."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        once()
    alive = most = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


def slope(points: list[tuple[int, float]]) -> float:
    """Of the line through the last four doublings: five points."""
    logs = [(math.log2(x), math.log2(y)) for x, y in points[-5:]]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def measure(name: str, backward: bool, longest: int) -> list[tuple[int, float, int]]:
    """(length, seconds, bytes) until the next length would not fit."""
    make, (_, memory_exponent) = MECHANISMS[name]
    attention = make(dropout=0.0, num_heads=1, head_dim=WIDTH)
    found: list[tuple[int, float, int]] = []
    length = 64
    while length <= longest and (not found or found[-1][2] * 2**memory_exponent <= LIMIT):
        found.append((length, *work(attention, length, backward)))
        length *= 2
    return found


def alone(name: str, backward: bool, longest: int) -> list[tuple[int, float, int]]:
    """The same in a process of its own: what one leaves behind cannot slow the next."""
    command = [
        sys.executable,
        __file__,
        "--one",
        name,
        "--longest",
        str(longest),
        *(["--backward"] if backward else []),
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def plot(found: dict[str, list[tuple[int, float, int]]], path: Path) -> None:
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    for column, direction in enumerate(("forward", "forward + backward")):
        for row, (what, unit) in enumerate((("time", "seconds"), ("peak tensor memory", "MiB"))):
            axis = axes[row][column]
            for name in MECHANISMS:
                points = found[f"{name}, {direction}"]
                values = [one[1] if row == 0 else one[2] / 2**20 for one in points]
                axis.loglog([one[0] for one in points], values, marker="o", label=name, base=2)
            axis.set(title=f"{direction}: {what}", ylabel=unit, xlabel="length")
    axes[0][0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=16_384)
    parser.add_argument("--one", choices=MECHANISMS, help=argparse.SUPPRESS)
    parser.add_argument("--backward", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.backward, options.longest)))
        return
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {date.today()}\n")
    print("| attention | longest | seconds there | MiB there | slope of time (theory) | slope of memory (theory) |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name, (_, theory) in MECHANISMS.items():
        for backward in (False, True):
            label = f"{name}, {'forward + backward' if backward else 'forward'}"
            points = found[label] = alone(name, backward, options.longest)
            length, seconds, size = points[-1]
            slopes = [slope([(one[0], one[place]) for one in points]) for place in (1, 2)]
            cells = [f"{ours:.2f} ({meant})" for ours, meant in zip(slopes, theory, strict=True)]
            print(f"| {label} | {length:,} | {seconds:.3f} | {size / 2**20:,.1f} | {' | '.join(cells)} |", flush=True)
    (DOCS / "attention-cost.json").write_text(json.dumps(found) + "\n")
    plot(found, DOCS / "attention-cost.png")


if __name__ == "__main__":
    main()
