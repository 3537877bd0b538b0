"""How text becomes training batches: the contract of `stored.py` and `fresh.py`."""

import logging
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from datasets import Dataset as Text
from torch.utils.data import DataLoader, Dataset

from dragoman.data.batch import Arrays, Batch, as_batch
from dragoman.data.draws import Draws, shares
from dragoman.data.sampler import Place, Position, useful_share
from dragoman.text.base import Corpus
from dragoman.text.quarantine import Cleaned, clean
from dragoman.text.screening import Watch
from dragoman.text.splits import Proportions, part_sizes
from dragoman.text.tokenizer import SentencePiece, Tokenizers

log = logging.getLogger("dragoman")
ENOUGH = 250_000  # pairs to learn a tokenizer from: more change its pieces little and fill the memory


class Fetching(NamedTuple):
    """By how many processes, and into what memory, batches are fetched."""

    num_workers: int
    pin_memory: bool

    def loader(self, dataset: Dataset, **order: Any) -> DataLoader:
        """Of what the dataset makes, as it is."""
        workers = self.num_workers
        return DataLoader(
            dataset,
            collate_fn=as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=heedless,
            **order,
        )

    def batches(self, pairs: Dataset, sampler: Iterable[list[int]]) -> "Batches":
        """Of a dataset that fetches the arrays of a whole batch at once."""
        return Batches(self.loader(pairs, batch_sampler=sampler), self)

    def arrived(self, sides: Arrays) -> Batch:
        """A batch out of the process that made it."""
        batch = as_batch(*sides)
        return Batch(*(side.pin_memory() for side in batch)) if self.pin_memory else batch


class Batches:
    """What a loader fetches, as batches."""

    def __init__(self, loader: DataLoader, fetching: Fetching) -> None:
        self.loader = loader
        self.fetching = fetching

    def __iter__(self) -> Iterator[Batch]:
        return map(self.fetching.arrived, self.loader)

    def __len__(self) -> int:
        return len(self.loader)


def heedless(_: int) -> None:
    """In a process that fetches: a signal to the whole group is its parent's to heed, who alone may end it."""
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for a SIGTERM from there; others are passed over."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


def as_it_is(made: Any) -> Any:
    """Nothing is left to collate."""
    return made


class Stream(Protocol):
    """Training batches without end."""

    def loader(self, position: Position, fetching: Fetching) -> Iterable[Batch]:
        """Those behind the position, in their order."""

    def place(self, seen: int) -> Place:
        """Where the shard begins that the batch behind the `seen` ones is from."""


class Reading(ABC):
    """`batch_tokens` bounds sentences × longest sentence of either side, in tokens, padding included; pairs with an
    empty side or more than `max_length` tokens on one are left out."""

    def __init__(self, *, batch_tokens: int, max_length: int) -> None:
        self.batch_tokens = batch_tokens
        self.max_length = max_length

    def cleaned(self, corpus: Corpus, rules: dict[str, Any], watch: Watch) -> Cleaned:
        """The text, without what the rules reject."""
        return clean(corpus, rules, watch)

    def lines(self, text: Any, side: int) -> Iterator[str]:
        """Of the source (0) or the target (1), at even distances, what is enough to learn a tokenizer from."""
        name = ("source", "target")[side]
        some = text.select(range(0, len(text), -(-len(text) // ENOUGH))) if len(text) > ENOUGH else text
        return (line for batch in some.select_columns([name]).iter(batch_size=10_000) for line in batch[name])

    @abstractmethod
    def prepare(self, text: Any, tokenizers: Tokenizers, proportions: Proportions, seed: int) -> Stream:
        """Whatever must be done once before training; quick when it has been done before."""


def draws_of(text: Text, proportions: Proportions, seed: int) -> Draws:
    """How many pairs of each corpus make an epoch; of several, the log tells."""
    sizes = part_sizes(text, len(proportions.weights))
    taken = shares(sizes, proportions.weights, proportions.temperature)
    told = [
        f"{name} {size:,} × {share / max(1, size):.3g}"
        for name, size, share in zip(proportions.names, sizes, taken, strict=False)
    ]
    if told:
        log.info("an epoch reads %s", ", ".join(told))
        for name in (name for name, size in zip(proportions.names, sizes, strict=True) if not size):
            log.warning("corpus.corpora.%s has no pair that can be used", name)
    return Draws(sizes, taken, seed)


def tell(lengths_N2: np.ndarray, batches: list[np.ndarray], parts: float | None) -> None:
    """What an epoch of so many parts like this one is, if that is known, and what padding costs; nothing of nothing."""
    if not batches:
        return
    count = f"{'about ' if (parts or 0) > 1 else ''}{round(len(batches) * max(1.0, parts or 0)):,}"
    log.info(
        "%sbatches of %d sentences on average; %.1f %% of their tokens are useful, the rest padding",
        *(
            "" if parts is None else f"an epoch has {count} ",
            sum(map(len, batches)) / len(batches),
            100 * useful_share(lengths_N2, batches),
        ),
    )


def train_tokenizers(reading: Reading, text: Any, tokenizer: SentencePiece) -> Tokenizers:
    """Learn both sides' tokenizers from the training split alone."""
    log.info("learning the tokenizer: %s, %s pieces", tokenizer.model_type, f"{tokenizer.vocab_size:,}")
    return tokenizer.train(reading.lines(text, 0), reading.lines(text, 1))
