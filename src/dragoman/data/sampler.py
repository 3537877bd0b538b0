"""Batches by token budget: sentences of like length together, in an order that is a function of (seed, epoch).

Shapes: N pairs.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from dragoman.data.draws import Draws
from dragoman.errors import InputError

SHARD = 1 << 20  # pairs that are shuffled and batched together: what memory an epoch takes does not depend on its size


def bucket(lengths_N2: np.ndarray, batch_tokens: int, order: np.ndarray) -> list[np.ndarray]:
    """Cut into batches that hold count × longest ≤ `batch_tokens`, longest over both sides.

    Sentences are sorted by max(source, target), then by the source, so that neither side pads much; `order` says who
    comes first among equals. The number of batches does not depend on it.
    """
    longest = lengths_N2.max(1, initial=0)
    if longest.max(initial=0) > batch_tokens:
        raise InputError(
            f"`data.batch_tokens` ({batch_tokens}) must hold the longest sentence ({longest.max()} tokens)."
        )
    by_length = order[np.lexsort((lengths_N2[order, 0], longest[order]))]
    sizes = longest[by_length]
    batches, start = [], 0
    while start < len(by_length):
        near = sizes[start : start + batch_tokens // sizes[start]]  # as many as if all were as short as the first
        fitting = int(np.searchsorted(near * np.arange(1, len(near) + 1), batch_tokens, side="right"))
        batches.append(by_length[start : start + fitting])
        start += fitting
    return batches


def batches_of(
    lengths_N2: np.ndarray, *, batch_tokens: int, max_length: int, seed: tuple[int, ...]
) -> list[np.ndarray]:
    """The pairs that can be used, cut into batches and shuffled by the seed."""
    usable = usable_rows(lengths_N2, max_length)
    generator = np.random.default_rng(seed)
    batches = bucket(lengths_N2[usable], batch_tokens, generator.permutation(len(usable)))
    return [usable[batches[index]] for index in generator.permutation(len(batches))]


def in_order(lengths_N2: np.ndarray, batch_tokens: int, max_length: int) -> list[list[int]]:
    """The same, not shuffled, from short to long."""
    usable = usable_rows(lengths_N2, max_length)
    batches = bucket(lengths_N2[usable], batch_tokens, np.arange(len(usable)))
    return [usable[batch].tolist() for batch in batches]


def usable_rows(lengths_N2: np.ndarray, max_length: int) -> np.ndarray:
    """Those with a token beside the special ones on both sides and at most `max_length` on either."""
    return np.flatnonzero((lengths_N2.min(1) > 1) & (lengths_N2.max(1) <= max_length))


def useful_share(lengths_N2: np.ndarray, batches: list[np.ndarray]) -> float:
    """Real tokens over all tokens, padding included, of both sides."""
    padded = sum(len(batch) * lengths_N2[batch].max(0).sum() for batch in batches)
    return float(lengths_N2[np.concatenate(batches)].sum() / padded)


class Place(NamedTuple):
    """Where a shard begins in a stream of batches: the number of its first batch."""

    epoch: int
    shard: int
    batch: int


class Position(NamedTuple):
    """How far a process has come: the batches it has `seen`, of `world` processes the `rank`-th.

    `since` is a shard that began before them, from which on they need to be counted.
    """

    seen: int = 0
    since: Place = Place(0, 0, 0)
    rank: int = 0
    world: int = 1


START = Position()


def last_begun(places: list[Place], batch: int) -> Place:
    """The last of the places that does not lie behind a batch; those before it are forgotten."""
    while len(places) > 1 and places[1].batch <= batch:
        places.pop(0)
    return places[0]


class EndlessBatches:
    """One epoch after another, every usable pair as often in each as `draws` has it; batch n is a function of the seed.

    Begins behind the position. Each process takes every `world`-th batch, beginning with its `rank`.
    """

    def __init__(
        self,
        lengths_N2: np.ndarray,
        draws: Draws,
        *,
        batch_tokens: int,
        max_length: int,
        position: Position = START,
    ) -> None:
        self.lengths_N2 = lengths_N2
        self.draws = draws
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.position = position
        self.begun = [position.since]  # it, and the shards that were cut after it
        self.shards = -(-draws.total // SHARD)

    @property
    def parts(self) -> float:
        """Shards in an epoch, of which the last is smaller."""
        return self.draws.total / SHARD

    def shard(self, epoch: int, number: int) -> list[np.ndarray]:
        """The batches of a part of an epoch, in order, as rows."""
        rows = self.draws.shard(epoch, number, SHARD)
        batches = batches_of(
            self.lengths_N2[rows],
            batch_tokens=self.batch_tokens,
            max_length=self.max_length,
            seed=(self.draws.seed, epoch, number),
        )
        return [rows[batch] for batch in batches]

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of an epoch, in order."""
        return [batch for shard in range(self.shards) for batch in self.shard(number, shard)]

    def __iter__(self) -> Iterator[list[int]]:
        seen, since, rank, world = self.position
        following, reached = seen * world + rank, since.batch
        for epoch in count(since.epoch):
            for number in range(since.shard if epoch == since.epoch else 0, self.shards):
                batches = self.shard(epoch, number)
                if (epoch, number) != since[:2]:
                    self.begun.append(Place(epoch, number, reached))
                while following < reached + len(batches):
                    yield batches[following - reached].tolist()
                    following += world
                reached += len(batches)

    def place(self, seen: int) -> Place:
        """Of the shards that this process has cut, the last one that begins within the `seen` batches that it gave."""
        return last_begun(self.begun, seen * self.position.world)
