"""What is translated or scored together, and when: sentences of like length, on a CPU several batches at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")

MOST = 4  # batches at once: Python's own share of a step, about a quarter, is done by one thread at a time


def in_batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first: longest × count ≤ `batch_tokens`, or a single one."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        count = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def side_by_side(
    make: Callable[[Item], Made], batches: Sequence[Item], device: torch.device, threads: int
) -> list[Made]:
    """What `make` makes of each batch, in their order, on so many of torch's threads.

    The steps of a search are many and small: on a CPU several batches, each on its share of torch's threads, are sooner
    done than one after the other on all of them.
    """
    torch.set_num_threads(threads)  # not asked for: this thread may have begun while workers of another were at work
    workers = min(MOST, threads, len(batches))
    if workers < 2 or device.type != "cpu":
        return [make(batch) for batch in batches]
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            return list(pool.map(make, batches))
    finally:
        torch.set_num_threads(threads)  # what a worker sets is also what threads begin with that are yet to come
