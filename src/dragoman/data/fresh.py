"""Training batches from text that is tokenised as it is read: anew in each epoch, or never kept on a disk.

A shard of pairs at a time is tokenised, cut into batches and shuffled, by as many processes as fetch batches; what
comes out does not depend on how many they are.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset

from dragoman.data.batch import Arrays, Batch, arrays, flat
from dragoman.data.draws import Draws
from dragoman.data.reading import ENOUGH, Fetching, Reading, draws_of, tell
from dragoman.data.sampler import Place, Position, batches_of, last_begun
from dragoman.errors import InputError
from dragoman.text.base import Corpus
from dragoman.text.quarantine import Cleaned
from dragoman.text.screening import Watch
from dragoman.text.segmentation import Segmentation
from dragoman.text.splits import Proportions, SplitName, Splits
from dragoman.text.tokenizer import Tokenizer, Tokenizers

SHARD = 1 << 15  # pairs of each process
Texts = list[tuple[str, str]]
Encoder = Callable[[list[str], int], list[list[int]]]  # by a seed


class Source(Protocol):
    """Text, a shard at a time: for each process every `world`-th pair, beginning with its `rank`."""

    def shard(self, epoch: int, number: int, rank: int, world: int) -> Texts:
        """Fewer than `SHARD` pairs are the last of the epoch; behind them there are none."""


class StoredText:
    """A corpus on disk, in another order in each epoch."""

    def __init__(self, text: Dataset, draws: Draws) -> None:
        self.text = text.select_columns(["source", "target"])
        self.draws = draws

    def shard(self, epoch: int, number: int, rank: int, world: int) -> Texts:
        columns = self.text[self.draws.shard(epoch, number, SHARD, rank, world)]
        return list(zip(columns["source"], columns["target"], strict=True))


class ReadText:
    """A corpus that is read from its beginning to its end in each epoch, by each process for itself."""

    def __init__(self, pairs: Callable[[], Iterator[Any]]) -> None:
        self.pairs = pairs
        self.reads: tuple[int, int] | None = None  # process and epoch: with a fork goes a share of the files' place
        self.passed = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadText, (self.pairs,)  # what is open does not travel

    def shard(self, epoch: int, number: int, rank: int, world: int) -> Texts:
        start = number * SHARD * world
        if (os.getpid(), epoch) != self.reads or start < self.passed:
            self.reads, self.passed, self.reader = (os.getpid(), epoch), 0, self.pairs()
        next(islice(self.reader, start - self.passed, start - self.passed), None)
        self.passed = start + SHARD * world
        return list(islice(islice(self.reader, SHARD * world), rank, None, world))


class Sampled(Reading):
    """Tokenised anew in each epoch, by segmentations drawn at random: subword regularisation (Kudo 2018).

    `alpha`: see `Segmentation`; None for the best segmentation, each time.
    """

    def __init__(self, *, batch_tokens: int, max_length: int, alpha: float | None) -> None:
        super().__init__(batch_tokens=batch_tokens, max_length=max_length)
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` ({alpha}) must be at least 0 and at most 1.")
        self.alpha = alpha

    def prepare(self, text: Any, tokenizers: Tokenizers, proportions: Proportions, seed: int) -> "FreshStream":
        draws = draws_of(text, proportions, seed)
        return self.stream(StoredText(text, draws), tokenizers, seed, draws.total / SHARD)

    def encoder(self, tokenizer: Tokenizer) -> Encoder:
        """For one side."""
        if self.alpha is None:
            return partial(unsampled, tokenizer)
        return Segmentation(tokenizer, self.alpha).sample_all

    def stream(self, source: Source, tokenizers: Tokenizers, seed: int, parts: float | None) -> "FreshStream":
        """What comes of a source; tells of its first shard."""
        made = FreshStream(Cut(self, [self.encoder(one) for one in tokenizers], seed), source)
        texts = source.shard(0, 0, 0, 1)
        rows = made.cut.rows(texts, 0, 0, 0)
        if not rows.batches:
            raise InputError(
                f"No pair of the train split can be used, of the first {len(texts):,}; `data.max_length` is"
                f" {self.max_length} tokens."
            )
        tell(rows.lengths_N2, rows.batches, parts)
        return made


def unsampled(tokenizer: Tokenizer, texts: list[str], seed: int) -> list[list[int]]:
    """The best segmentation, whatever the seed."""
    return tokenizer.encode_all(texts)


class Streamed(Sampled):
    """The same, of a corpus that is read from beginning to end in each epoch and never kept."""

    def cleaned(self, corpus: Corpus, rules: dict[str, Any], watch: Watch) -> Cleaned:
        if asked := [name for name, rule in rules.items() if rule is not None]:
            raise InputError(f"data=streaming sets no pair aside (cleaning.{asked[0]} asks for it): set cleaning=none.")
        held_out: tuple[SplitName, ...] = ("validation", "test")
        if absent := [name for name in held_out if not corpus.given(name)]:
            raise InputError(f"data=streaming cuts no split off a stream: give corpus.{absent[0]}.")
        return Cleaned(Splits(corpus.stream("train"), *map(corpus.split, held_out)), None)

    def lines(self, text: Any, side: int) -> Iterator[str]:
        return (pair[side] for pair in islice(text(), ENOUGH))

    def prepare(self, text: Any, tokenizers: Tokenizers, proportions: Proportions, seed: int) -> "FreshStream":
        return self.stream(ReadText(text), tokenizers, seed, None)


class Rows(NamedTuple):
    """A shard as ids: which of its pairs make each batch."""

    sources: list[list[int]]
    targets: list[list[int]]
    lengths_N2: np.ndarray  # with what collate adds
    batches: list[np.ndarray]

    def batch(self, rows: np.ndarray) -> Arrays:
        """One of them."""
        return arrays(flat(self.sources[row] for row in rows), flat(self.targets[row] for row in rows))


class Cut(NamedTuple):
    """How a shard of text becomes batches: all that is random in it is a function of the seed and its place."""

    reading: Sampled
    encoders: list[Encoder]  # of both sides
    seed: int

    def rows(self, texts: Texts, *place: int) -> Rows:
        """Tokenised, cut and shuffled."""
        seeds = np.random.SeedSequence((self.seed, *place)).generate_state(2).tolist()
        sources, targets = (
            encode([pair[side] for pair in texts], seeds[side]) for side, encode in enumerate(self.encoders)
        )
        lengths_N2 = np.array([[len(one), len(other)] for one, other in zip(sources, targets, strict=True)], int) + 1
        limits = {"batch_tokens": self.reading.batch_tokens, "max_length": self.reading.max_length}
        batches = batches_of(lengths_N2.reshape(-1, 2), **limits, seed=(self.seed, *place))
        return Rows(sources, targets, lengths_N2, batches)


class Shard(NamedTuple):
    """Its batches; `last`: no pair of the epoch comes behind it."""

    epoch: int
    number: int
    batches: list[Arrays]
    last: bool


class Shards(TorchDataset):
    """Makes any shard; a copy of it lives in each process that fetches. What the user must mend it hands over."""

    def __init__(self, cut: Cut, source: Source, rank: int, world: int) -> None:
        self.cut, self.source, self.rank, self.world = cut, source, rank, world

    def __getitem__(self, place: tuple[int, int]) -> Shard | InputError:
        try:
            texts = self.source.shard(*place, self.rank, self.world)
            rows = self.cut.rows(texts, *place, self.rank)
        except InputError as error:
            return error
        return Shard(*place, [rows.batch(batch) for batch in rows.batches], len(texts) < SHARD)


class Order:
    """Shards by number, epoch after epoch; told when one is over, since the length of a stream is known at its end."""

    def __init__(self, epoch: int, shard: int) -> None:
        self.epoch, self.shard = epoch, shard

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while True:
            self.shard += 1
            yield self.epoch, self.shard - 1

    def end(self, epoch: int) -> None:
        """There is no more in this epoch."""
        if epoch == self.epoch:
            self.epoch, self.shard = epoch + 1, 0


class FreshStream:
    """The training batches of a source."""

    def __init__(self, cut: Cut, source: Source) -> None:
        self.cut = cut
        self.source = source

    def loader(self, position: Position, fetching: Fetching) -> Iterable[Batch]:
        self.begun = [position.since]
        return FreshBatches(self, position, fetching)

    def place(self, seen: int) -> Place:
        return last_begun(self.begun, seen)


class FreshBatches:
    """Those behind a position, without end."""

    def __init__(self, stream: FreshStream, position: Position, fetching: Fetching) -> None:
        self.stream, self.position, self.fetching = stream, position, fetching

    def __iter__(self) -> Iterator[Batch]:
        seen, since, rank, world = self.position
        order, reached = Order(since.epoch, since.shard), since.batch
        shards = Shards(self.stream.cut, self.stream.source, rank, world)
        for shard in self.fetching.loader(shards, batch_size=None, sampler=order):
            if isinstance(shard, InputError):
                raise shard
            if shard.batches and shard[:2] != since[:2]:
                self.stream.begun.append(Place(shard.epoch, shard.number, reached))
            yield from map(self.fetching.arrived, shard.batches[max(0, seen - reached) :])
            reached += len(shard.batches)
            if shard.last:
                order.end(shard.epoch)
