"""Batches by token budget: sentences of like length together, in an order that is a function of (seed, epoch).

Shapes: N pairs.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np

from dragoman.errors import InputError


def bucket(lengths_N2: np.ndarray, batch_tokens: int, order: np.ndarray) -> list[np.ndarray]:
    """Cut into batches that hold count × longest ≤ `batch_tokens`, longest over both sides.

    Sentences are sorted by max(source, target), then by the source, so that neither side pads much; `order` says who
    comes first among equals. The number of batches does not depend on it.
    """
    longest = lengths_N2.max(1)
    if longest.max() > batch_tokens:
        raise InputError(
            f"`data.batch_tokens` ({batch_tokens}) must hold the longest sentence ({longest.max()} tokens)."
        )
    by_length = order[np.lexsort((lengths_N2[order, 0], longest[order]))]
    batches, start = [], 0
    for end in range(1, len(by_length) + 1):
        full = end < len(by_length) and (end + 1 - start) * longest[by_length[end]] > batch_tokens
        if full or end == len(by_length):
            batches.append(by_length[start:end])
            start = end
    return batches


def useful_share(lengths_N2: np.ndarray, batches: list[np.ndarray]) -> float:
    """Real tokens over all tokens, padding included, of both sides."""
    padded = sum(len(batch) * lengths_N2[batch].max(0).sum() for batch in batches)
    return float(lengths_N2[np.concatenate(batches)].sum() / padded)


class EndlessBatches:
    """One epoch after another, every sentence exactly once in each; batch n is a function of (seed, n) alone.

    `start` is the number of batches already seen, so that a resumed run goes on where it stopped. Of `world` processes
    each takes every `world`-th batch, beginning with its `rank`.
    """

    def __init__(
        self, lengths_N2: np.ndarray, *, batch_tokens: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths_N2 = lengths_N2
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.start = start
        self.rank = rank
        self.world = world
        self.per_epoch = len(self.epoch(0))

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of an epoch, in order."""
        generator = np.random.default_rng((self.seed, number))
        batches = bucket(self.lengths_N2, self.batch_tokens, generator.permutation(len(self.lengths_N2)))
        return [batches[index] for index in generator.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        first, skip = divmod(self.start * self.world + self.rank, self.per_epoch)
        for number in count(first):
            batches = self.epoch(number)
            yield from (batch.tolist() for batch in batches[skip :: self.world])
            skip = (skip - len(batches)) % self.world
