"""Which rows an epoch reads and in what order, without keeping a number for each: a shard at a time, of any size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = 4  # of a Feistel network over a good round function: a pseudo-random permutation (Luby and Rackoff 1988)


def scramble(numbers: np.ndarray, size: int, key: tuple[int, ...]) -> np.ndarray:
    """The images of `numbers` under a permutation of range(size) that is a function of the key alone."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = np.random.default_rng(key).integers(0, 1 << 63, ROUNDS, dtype=np.uint64)
    images = feistel(numbers.astype(np.uint64), half, keys)
    outside = np.flatnonzero(images >= size)
    while len(outside):  # walk on along the cycle until it comes back into the range (Black and Rogaway 2002)
        images[outside] = feistel(images[outside], half, keys)
        outside = outside[images[outside] >= size]
    return images.astype(np.int64)


def feistel(numbers: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    """A permutation of the numbers of 2 · `half` bits."""
    low, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = numbers >> shift, numbers & low
    for key in keys:
        left, right = right, left ^ (mixed(right ^ key) & low)
    return (left << shift) | right


def mixed(numbers: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): every bit depends on every other."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


class Draws(NamedTuple):
    """How many rows each corpus has, one corpus after the other, and how many of them an epoch takes.

    Each corpus is a ring: an epoch goes on where the one before it stopped, so that every row of a corpus is read
    equally often, however small its share.
    """

    sizes: Sequence[int]
    shares: Sequence[int]
    seed: int

    @property
    def total(self) -> int:
        """Rows in an epoch."""
        return sum(self.shares)

    def shard(self, epoch: int, number: int, size: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """The rows of a part of an epoch, `size` for each process; parts beyond the end hold none.

        Where an epoch has several parts, which rows come together is another choice in each epoch.
        """
        start = number * size * world
        places = np.arange(start + rank, min(start + size * world, self.total), world)
        if self.total > size * world:
            places = scramble(places, self.total, (self.seed, epoch))
        ends, bases = np.cumsum(self.shares), np.cumsum([0, *self.sizes])
        parts = np.searchsorted(ends, places, side="right")
        found = np.empty_like(places)
        for part in np.unique(parts):
            here = parts == part
            offsets = places[here] - (ends[part] - self.shares[part])
            found[here] = bases[part] + self._on_the_ring(int(part), epoch * self.shares[part] + offsets)
        return found

    def _on_the_ring(self, part: int, travelled: np.ndarray) -> np.ndarray:
        """Rows of one corpus; where epochs end within a round, each round has an order of its own."""
        size = self.sizes[part]
        rounds, places = np.divmod(travelled, size)
        if self.shares[part] % size == 0:
            return places
        for number in np.unique(rounds):
            here = rounds == number
            places[here] = scramble(places[here], size, (self.seed, part, int(number)))
        return places


def shares(sizes: Sequence[int], weights: Sequence[float], temperature: float) -> list[int]:
    """Rows that an epoch takes of each corpus: `weights` times its size, levelled by the temperature.

    At temperature 1 sizes count as they are; the higher it is, the more alike are the corpora, the epoch's length being
    the same (Arivazhagan et al. 2019, section 4.2). At least one row of each that has any.
    """
    levelled = np.asarray(sizes, float) ** (1 / temperature)
    levelled *= sum(sizes) / levelled.sum()
    return [max(1, round(weight * size)) if size else 0 for weight, size in zip(weights, levelled, strict=True)]
